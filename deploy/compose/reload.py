"""Restarts a command whenever one of its Python files changes, in the working directory
or in the folders of PYTHONPATH.

    python reload.py COMMAND...

For development, in unchanged images: standard library only. It polls the files' times,
because a container does not always receive events for changes made outside.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path

INTERVAL = 0.5
GRACE = 30.0  # seconds between SIGTERM and SIGKILL


def snapshot(folders: list[Path]) -> dict[Path, int]:
    """The modification time of each Python file."""
    return dict(chain.from_iterable(map(_times, folders)))


def _times(folder: Path) -> Iterator[tuple[Path, int]]:
    for file in folder.rglob("*.py"):
        try:
            yield file, file.stat().st_mtime_ns
        except FileNotFoundError:  # an editor is replacing it right now
            continue


def serve(command: list[str], folders: list[Path], stopped: Callable[[], bool]) -> None:
    """Run the command until stopped. If it ends by itself, as broken code does, run it
    again after the next change."""
    while not stopped():
        seen = snapshot(folders)
        child = subprocess.Popen(command)
        while not stopped() and snapshot(folders) == seen:
            time.sleep(INTERVAL)
        end(child)
        print("reload:", *command, flush=True)


def end(child: subprocess.Popen[bytes]) -> None:
    """Send SIGTERM, and SIGKILL after a while."""
    child.terminate()
    try:
        child.wait(GRACE)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()


def main() -> None:
    received: list[int] = []
    for signum in (signal.SIGTERM, signal.SIGINT):
        signal.signal(signum, lambda number, frame: received.append(number))
    imported = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    folders = [Path.cwd(), *(Path(folder) for folder in imported if folder)]
    serve(sys.argv[1:], folders, lambda: bool(received))


if __name__ == "__main__":
    main()
