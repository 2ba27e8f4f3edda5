"""Shows the logs of several processes on one terminal, a line at a time.

Processes write to their files, never into a pipe of ours: a terminal that stands
still, or a launcher that is killed, then cannot stop or break them. Standard library
only: `bootstrap.py` shows its progress by this, too.
"""

import contextlib
import os
import shutil
import sys
import threading
from pathlib import Path
from typing import IO

_COLOURS = (36, 32, 33, 35, 34, 96, 92, 93)
_WIDTH = 11
_BAR = 24
_CLEAR_LINE = "\r\x1b[K"
GREEN, RED = 32, 31


def is_screen(out: IO[str]) -> bool:
    """Whether a line that was printed can be replaced."""
    return out.isatty() and os.environ.get("TERM") != "dumb"


def is_colourful(out: IO[str]) -> bool:
    """Whether to print colours: to a terminal, unless NO_COLOR is set
    (https://no-color.org)."""
    return is_screen(out) and not os.environ.get("NO_COLOR")


def coloured(text: str, colour: int) -> str:
    """The text in a colour of the terminal."""
    return f"\x1b[{colour}m{text}\x1b[0m"


class Progress:
    """The last line of a terminal, which changes; lines that stay where there is no
    terminal."""

    def __init__(self, out: IO[str] | None = None) -> None:
        self._out = out or sys.stdout
        self.is_bar = is_screen(self._out)
        self._line = ""

    def show(self, done: int, total: int, text: str) -> None:
        """How far it is, as a bar and a few words."""
        filled = _BAR * done // max(total, 1)
        line = f"[{'#' * filled}{'.' * (_BAR - filled)}] {text}"
        # A line that wraps could not be replaced.
        self._line = line[: shutil.get_terminal_size().columns - 1]
        self.draw()

    def draw(self) -> None:
        """The bar again, below what was printed since."""
        if self._line:
            print(_CLEAR_LINE + self._line, end="", file=self._out, flush=True)

    def clear(self) -> None:
        """Take the bar away, to print in its place."""
        if self._line:
            print(_CLEAR_LINE, end="", file=self._out, flush=True)

    def end(self) -> None:
        """Take the bar away for good."""
        self.clear()
        self._line = ""


class Terminal:
    """Prefixed lines of log files, and words of the launcher's own."""

    def __init__(self, out: IO[str] | None = None) -> None:
        self._out = out or sys.stdout
        self.is_colourful = is_colourful(self._out)
        self._lock = threading.Lock()
        self._progress = Progress(self._out)
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

    def progress(self, done: int, total: int, latest: str, waiting: str) -> None:
        """Show how many are done: a bar until all are, or a line for the latest."""
        if not self._progress.is_bar:
            self.say(f"{latest} ({done} of {total})")
            return
        with self._lock, contextlib.suppress(OSError):
            if done < total:
                text = f"{done} of {total} are up, waiting for {waiting}"
                self._progress.show(done, total, text)
            else:
                self._progress.end()

    def end_progress(self) -> None:
        """Take the bar away, if there is one."""
        with self._lock, contextlib.suppress(OSError):
            self._progress.end()

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
        if self.is_colourful:
            prefix = coloured(prefix, self._colour(name))
        self._write(f"{prefix} {line}")

    def _write(self, text: str) -> None:
        # The terminal may be closed, or the reader of a pipe gone: run on without.
        with self._lock, contextlib.suppress(OSError):
            self._progress.clear()
            print(text, file=self._out, flush=True)
            self._progress.draw()

    def _colour(self, name: str) -> int:
        names = ["stack", *self._files]
        return _COLOURS[names.index(name) % len(_COLOURS)] if name in names else 37
