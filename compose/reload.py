"""Runs a command again whenever a Python file of the working directory changes.

    python reload.py COMMAND...

For development, in the images as they are: standard library only. Asks the files for
their times, because a change outside of a container is not always announced inside.
"""

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

INTERVAL = 0.5
GRACE = 30.0  # seconds between SIGTERM and SIGKILL


def snapshot(folder: Path) -> dict[Path, int]:
    """When each Python file was changed."""
    return dict(_times(folder))


def _times(folder: Path) -> Iterator[tuple[Path, int]]:
    for file in folder.rglob("*.py"):
        try:
            yield file, file.stat().st_mtime_ns
        except FileNotFoundError:  # an editor is just replacing it
            continue


def serve(command: list[str], folder: Path, stopped: Callable[[], bool]) -> None:
    """Run the command until told to stop. One that ends by itself, as broken code
    does, is run again after the next change."""
    while not stopped():
        seen = snapshot(folder)
        child = subprocess.Popen(command)
        while not stopped() and snapshot(folder) == seen:
            time.sleep(INTERVAL)
        end(child)
        print("reload:", *command, flush=True)


def end(child: subprocess.Popen[bytes]) -> None:
    """SIGTERM, and SIGKILL after a while."""
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
    serve(sys.argv[1:], Path.cwd(), lambda: bool(received))


if __name__ == "__main__":
    main()
