"""How far pip is; standard library only, as `bootstrap.py`.

pip itself stays quiet, so that what it prints is what went wrong. Its log tells which
packages it has fetched, the folder of packages which it has installed.
"""

import re
import sys
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from local.terminal import Progress

INTERVAL = 0.3
PINNED = re.compile(r"^([\w.-]+)(?:\[[^]]*])?==([^\s;\\]+)", re.MULTILINE)
# One line for each package that pip looks at. One that this machine does not need
# counts as done.
FETCHED = re.compile(rb" Collecting ([\w.-]+)")
NOT_NEEDED = re.compile(rb" (?:Ignoring|Requirement already satisfied:) ([\w.-]+)")


def pinned(files: Iterable[Path]) -> set[tuple[str, str]]:
    """Name and version of each package that requirement files pin."""
    texts = (file.read_text() for file in files)
    return {
        (_normal(name), version)
        for text in texts
        for name, version in PINNED.findall(text)
    }


class Installation:
    """Reads pip's log as it grows, and looks into the folder of packages."""

    def __init__(self, packages: set[tuple[str, str]], log: Path, folder: Path) -> None:
        self.packages, self.log, self.folder = packages, log, folder
        self.total = len({name for name, _ in packages})
        self._position = 0
        self._fetched: set[str] = set()
        self._not_needed: set[str] = set()

    def look(self) -> tuple[int, int]:
        """How many packages were fetched, and how many are installed, by now."""
        text = self._read()
        names = {name for name, _ in self.packages}
        self._fetched |= _names(FETCHED, text) & names
        self._not_needed |= _names(NOT_NEEDED, text) & names
        installed = {
            name for name, version in self.packages & set(self._installed())
        } | self._not_needed
        return len(self._fetched | installed), len(installed)

    def _installed(self) -> Iterator[tuple[str, str]]:
        for path in self.folder.glob("*.dist-info"):
            name, _, version = path.name.removesuffix(".dist-info").rpartition("-")
            yield _normal(name), version

    def _read(self) -> bytes:
        """The whole lines that are new in the log."""
        try:
            with self.log.open("rb") as file:
                file.seek(self._position)
                text = file.read()
        except FileNotFoundError:
            return b""
        text = text[: text.rfind(b"\n") + 1]
        self._position += len(text)
        return text


@contextmanager
def shown(
    packages: set[tuple[str, str]], log: Path, folder: Path, out: IO[str] | None = None
) -> Iterator[None]:
    """Show how far pip is while it runs inside: a bar, or a line at each quarter."""
    log.unlink(missing_ok=True)
    installation = Installation(packages, log, folder)
    stopped = threading.Event()
    arguments = (installation, Progress(out or sys.stdout), out or sys.stdout, stopped)
    thread = threading.Thread(target=_show, args=arguments, daemon=True)
    thread.start()
    try:
        yield
        log.unlink(missing_ok=True)  # megabytes, of use only after a failure
    finally:
        stopped.set()
        thread.join()


def _show(
    installation: Installation,
    progress: Progress,
    out: IO[str],
    stopped: threading.Event,
) -> None:
    quarter = 0
    while not stopped.wait(INTERVAL):
        fetched, installed = installation.look()
        done, total = fetched + installed, 2 * installation.total
        text = (
            f"{fetched} of {installation.total} packages fetched, {installed} installed"
        )
        if progress.is_bar:
            progress.show(done, total, text)
        elif done * 4 // max(total, 1) > quarter:
            quarter = done * 4 // total
            print(f"  {text}", file=out, flush=True)
    progress.end()


def _names(pattern: re.Pattern[bytes], text: bytes) -> set[str]:
    return {_normal(name.decode()) for name in pattern.findall(text)}


def _normal(name: str) -> str:
    """As PEP 503 compares names."""
    return re.sub(r"[-_.]+", "-", name).lower()
