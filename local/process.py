"""One child process with its own process group and log file.

We have our own small runner: others such as honcho start everything at once and stop
everything when one process ends. Here servers start before their users and stop after
them, and tests restart, kill and pause single ones.
"""

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import psutil

from local.advice import advice
from local.state import MARKER, NAME_MARKER, State, end_leftovers, kill_all, wait_gone

_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None

# A death signal's "parent" is the thread that forked. This thread lives as long as the
# process, unlike the short-lived threads that start servers.
_SPAWNER = ThreadPoolExecutor(max_workers=1, thread_name_prefix="spawner")


class ProcessFailed(RuntimeError):
    """A process ended or did not become ready; holds the end of its log, and advice on
    known faults in it."""

    def __init__(self, said: str) -> None:
        super().__init__(f"{said}{advice(said)}")


class Cancelled(Exception):
    """The stack was stopped while it was still starting."""


class Child:
    """Starts, signals and ends one process group.

    `stop_signal` asks the leader to stop in order; it also reaches the leader when the
    process that started it dies (Linux).
    """

    def __init__(
        self, name: str, state: State, stop_signal: signal.Signals = signal.SIGTERM
    ) -> None:
        self.name = name
        self.state = state
        self.stop_signal = stop_signal
        self.log = state.log(name)
        self.started_at = 0.0
        self._log_begins = 0
        self._process: subprocess.Popen[bytes] | None = None

    def start(
        self,
        argv: Sequence[str],
        *,
        cwd: Path,
        env: Mapping[str, str],
        uid: int | None = None,
    ) -> None:
        """Start the process, after ending leftovers of an earlier one."""
        end_leftovers(self.state.path, self.name)
        self.started_at = time.monotonic()
        self._log_begins = self.log.stat().st_size if self.log.exists() else 0
        marked = {**env, MARKER: str(self.state.path), NAME_MARKER: self.name}

        def spawn() -> subprocess.Popen[bytes]:
            with self.log.open("ab") as log:
                return subprocess.Popen(
                    list(argv),
                    cwd=cwd,
                    env=marked,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                    preexec_fn=_die_with_parent(self.stop_signal),
                    user=uid,
                    group=uid,
                    extra_groups=None if uid is None else [],
                )

        self._process = _SPAWNER.submit(spawn).result()

    @property
    def alive(self) -> bool:
        """Whether the leader runs (a paused one does)."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        """The leader's process id, which is also the group's."""
        if self._process is None:
            raise ProcessFailed(f"{self.name} was not started")
        return self._process.pid

    @property
    def returncode(self) -> int | None:
        """As of `subprocess.Popen`; None while it runs or was never started."""
        return None if self._process is None else self._process.poll()

    def send(self, number: signal.Signals, *, group: bool = False) -> None:
        """Signal the leader or the whole group; does nothing when it is gone."""
        if not self.alive:
            return
        try:
            (os.killpg if group else os.kill)(self.pid, number)
        except ProcessLookupError:
            pass

    def pause(self) -> None:
        """Send SIGSTOP to it and all descendants."""
        self._signal_all(signal.SIGSTOP)

    def resume(self) -> None:
        """Send SIGCONT to it and all descendants."""
        self._signal_all(signal.SIGCONT)

    def _signal_all(self, number: "signal.Signals") -> None:
        # Each PostgreSQL process leads its own group, so signalling the group is not
        # enough.
        if not self.alive:
            return
        self.send(number)
        for each in _descendants(self.pid):
            with suppress(psutil.NoSuchProcess):
                each.send_signal(number)

    def kill(self) -> None:
        """Send SIGKILL to the group and every descendant; returns when they are
        gone."""
        if self._process is None:
            return
        family = _descendants(self._process.pid) if self.alive else []
        self.send(signal.SIGKILL, group=True)
        kill_all(family)
        self._process.wait()

    def wait(self, timeout: float = 10) -> int:
        """The leader's exit code, once it has ended. Raises
        subprocess.TimeoutExpired."""
        return -1 if self._process is None else self._process.wait(timeout)

    def stop(self, timeout: float) -> None:
        """Stop in order within `timeout` seconds, otherwise by SIGKILL; leaves no
        process."""
        if self._process is None:
            return
        family = _descendants(self._process.pid) if self.alive else []
        self.send(self.stop_signal)
        self.resume()  # a paused process would never see the signal
        try:
            self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.kill()
        # Helpers notice the end of their leader by themselves, shortly afterwards.
        kill_all(wait_gone(family, timeout=1))
        end_leftovers(self.state.path, self.name)

    def wait_until(
        self, condition: Callable[[], bool], timeout: float, what: str
    ) -> None:
        """Return once `condition` holds, asking every 20 ms.

        Raises ProcessFailed with the log's end when the process ends or `timeout`
        seconds pass, and Cancelled when the stack is being stopped.
        """
        deadline = time.monotonic() + timeout
        while not condition():
            if not self.alive:
                raise self.failure(f"ended with code {self.returncode}")
            if time.monotonic() > deadline:
                raise self.failure(f"did not {what} within {timeout:.0f} s")
            if self.state.cancelled.wait(0.02):
                raise Cancelled(self.name)

    def failure(self, reason: str) -> ProcessFailed:
        """An error with the reason and the last lines of the log."""
        return ProcessFailed(f"{self.name} {reason}; {self.log} ends:\n{self.tail()}")

    def tail(self, lines: int = 20) -> str:
        """The last lines that it has logged since it was started."""
        try:
            with self.log.open(errors="replace") as file:
                file.seek(self._log_begins)
                return "".join(f"  {line}" for line in deque(file, lines))
        except OSError:
            return ""


def _die_with_parent(number: signal.Signals) -> Callable[[], object] | None:
    if _LIBC is None:
        return None
    prctl = _LIBC.prctl
    return lambda: prctl(_PR_SET_PDEATHSIG, int(number), 0, 0, 0)


def _descendants(pid: int) -> list[psutil.Process]:
    try:
        return psutil.Process(pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []
