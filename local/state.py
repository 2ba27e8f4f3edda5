"""The folder `.local/<mode>` of one running stack: data, logs, lock, leftovers.

Every process of a stack carries the folder's path in its environment (`KIT_STATE_DIR`).
So the processes that a killed launcher left behind are found, even daemons, and no
other process is ever touched.
"""

import fcntl
import os
import shutil
import threading
import time
from pathlib import Path
from typing import IO

import psutil

from local.tls import Tls

LOCAL = Path(__file__).resolve().parent.parent / ".local"
FAILED = LOCAL / "failed"  # logs of the test sessions with a failed test
MARKER = "KIT_STATE_DIR"
NAME_MARKER = "KIT_PROCESS"

# These write their title over their environment, so they are found by name and by a
# working directory inside the state folder.
_TITLE_WRITERS = ("postgres", "redis-server", "nginx")


class AlreadyRunning(Exception):
    """Another process holds the state folder."""


class State:
    """One stack's folder. Call `acquire()` before starting anything in it.

    With `tls`, every server and process of the stack speaks TLS alone.
    """

    def __init__(self, path: Path, tls: Tls | None = None) -> None:
        self.path, self.tls = path, tls
        self.cancelled = threading.Event()
        self._lock: IO[str] | None = None

    def acquire(self) -> None:
        """Take the folder and end what an earlier holder left running.

        Raises AlreadyRunning when another live process holds it.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        (self.path / "logs").mkdir(exist_ok=True)
        lock = (self.path / "lock").open("a")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.close()
            raise AlreadyRunning(
                f"The stack already runs from this folder ({self.path}).\n"
                "Stop it first: Ctrl-C in its terminal."
            ) from None
        self._lock = lock
        end_leftovers(self.path)

    @property
    def is_held(self) -> bool:
        """Whether a live process holds the folder; asking changes nothing."""
        try:
            with (self.path / "lock").open() as lock:
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except FileNotFoundError:
            return False
        except BlockingIOError:
            return True
        return False

    def release(self, *, remove: bool = False) -> None:
        """Release the folder; with `remove`, delete it."""
        end_leftovers(self.path)
        if remove:
            shutil.rmtree(self.path, ignore_errors=True)
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def folder(self, name: str) -> Path:
        """The private folder of one server, created if missing."""
        folder = self.path / name
        folder.mkdir(mode=0o700, exist_ok=True)
        return folder

    def log(self, name: str) -> Path:
        """The log file of one process."""
        return self.path / "logs" / f"{name}.log"


def leftovers(path: Path, name: str | None = None) -> list[psutil.Process]:
    """Live processes of the state folder, or those of one server of it."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.pid != os.getpid() and _belongs(process, path, name):
                found.append(process)
        except (psutil.Error, OSError):
            continue  # ended meanwhile, or another user's
    return found


def end_leftovers(path: Path, name: str | None = None) -> int:
    """Kill the processes that `leftovers` finds; returns how many there were."""
    processes = leftovers(path, name)
    kill_all(processes)
    return len(processes)


def kill_all(processes: list[psutil.Process]) -> None:
    """SIGKILL each, and return when they are gone (within five seconds)."""
    for process in processes:
        try:
            process.kill()
        except psutil.NoSuchProcess:
            continue
    wait_gone(processes, timeout=5)


def wait_gone(processes: list[psutil.Process], timeout: float) -> list[psutil.Process]:
    """Wait for processes that need not be our children; returns those still alive.

    A zombie counts as gone (a container's first process often collects none).
    """
    deadline = time.monotonic() + timeout
    while alive := [process for process in processes if _is_alive(process)]:
        if time.monotonic() > deadline:
            break
        time.sleep(0.01)
    return alive


def _is_alive(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _belongs(process: psutil.Process, path: Path, name: str | None) -> bool:
    if process.status() == psutil.STATUS_ZOMBIE:
        return False
    if process.name() in _TITLE_WRITERS:
        home = path if name is None else path / name
        if Path(process.cwd()).is_relative_to(home):
            return True
    environment = process.environ()
    if environment.get(MARKER) != str(path):
        return False
    return name is None or environment.get(NAME_MARKER) == name


def remove_abandoned(prefix: str) -> None:
    """End and delete the folders `.local/<prefix>*` whose holder is gone."""
    for path in LOCAL.glob(f"{prefix}*"):
        state = State(path)
        try:
            state.acquire()
        except AlreadyRunning:
            continue
        state.release(remove=True)
