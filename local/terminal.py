"""Shows the logs of several processes on one terminal, a line at a time.

Processes write to their files, never into a pipe of ours: a terminal that stands
still, or a launcher that is killed, then cannot stop or break them.
"""

import contextlib
import sys
import threading
from pathlib import Path
from typing import IO

_COLOURS = (36, 32, 33, 35, 34, 96, 92, 93)
_WIDTH = 11


class Terminal:
    """Prefixed lines of log files, and words of the launcher's own."""

    def __init__(self, out: IO[str] | None = None) -> None:
        self._out = out or sys.stdout
        self._colourful = self._out.isatty()
        self._lock = threading.Lock()
        self._files: dict[str, IO[bytes]] = {}
        self._rest: dict[str, bytes] = {}
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._follow, daemon=True)

    def say(self, text: str) -> None:
        """Print the launcher's own words."""
        for line in text.splitlines():
            self._print("stack", line)

    def plain(self, text: str) -> None:
        """Print without a prefix."""
        self._write(text)

    def follow(self, name: str, log: Path) -> None:
        """Show what is written to a log from now on."""
        log.touch()
        file = log.open("rb")
        file.seek(0, 2)
        with self._lock:
            self._files[name] = file
        if not self._thread.is_alive():
            self._thread.start()

    def close(self) -> None:
        """Show what was still written, then stop."""
        self._stopped.set()
        if self._thread.is_alive():
            self._thread.join()
        for file in self._files.values():
            file.close()

    def _follow(self) -> None:
        while not self._stopped.wait(0.1):
            self._show_new()
        self._show_new()

    def _show_new(self) -> None:
        for name, file in list(self._files.items()):
            data = self._rest.pop(name, b"") + file.read()
            *lines, rest = data.split(b"\n")
            self._rest[name] = rest
            for line in lines:
                self._print(name, line.decode(errors="replace"))

    def _print(self, name: str, line: str) -> None:
        prefix = f"{name[:_WIDTH]:{_WIDTH}} |"
        if self._colourful:
            prefix = f"\x1b[{self._colour(name)}m{prefix}\x1b[0m"
        self._write(f"{prefix} {line}")

    def _write(self, text: str) -> None:
        # The terminal may be closed, or the reader of a pipe gone: run on without.
        with self._lock, contextlib.suppress(OSError):
            print(text, file=self._out, flush=True)

    def _colour(self, name: str) -> int:
        names = ["stack", *self._files]
        return _COLOURS[names.index(name) % len(_COLOURS)] if name in names else 37
