"""`logs-local`: follows the log of one part of the stack of `make run`."""

import os
import sys
import threading
from collections import deque
from pathlib import Path
from typing import IO

from local.state import LOCAL

LINES = 20  # of what is there already
INTERVAL = 0.2


def follow(
    arguments: list[str],
    path: Path = LOCAL / "run",
    stopped: threading.Event | None = None,
) -> int:
    """Print the last lines, then new ones until stopped; 1 if there is no such log."""
    logs = {file.stem: file for file in sorted((path / "logs").glob("*.log"))}
    if not logs:
        print(f"There are no logs in {path / 'logs'} yet.", file=sys.stderr)
        return 1
    if len(arguments) != 1 or arguments[0] not in logs:
        print("Name one part: make logs-local SERVICE=worker", file=sys.stderr)
        print(f"There are: {', '.join(logs)}", file=sys.stderr)
        return 1
    _follow(logs[arguments[0]], stopped or threading.Event())
    return 0


def _follow(log: Path, stopped: threading.Event) -> None:
    file = log.open(errors="replace")
    print("".join(deque(file, LINES)), end="", flush=True)
    while not stopped.wait(INTERVAL):
        print(file.read(), end="", flush=True)
        if _is_replaced(file, log):
            print(f"-- {log.stem} was started anew", flush=True)
            file.close()
            file = log.open(errors="replace")
    file.close()


def _is_replaced(file: IO[str], log: Path) -> bool:
    """Whether a new `make run` has put the log aside and begun another."""
    try:
        return not os.path.samestat(os.fstat(file.fileno()), log.stat())
    except FileNotFoundError:  # put aside, and nothing written since
        return False
