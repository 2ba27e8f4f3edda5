"""What all servers, and our own processes, have in common."""

import os
import signal
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar, NamedTuple

from local import ports
from local.process import Child, ProcessFailed
from local.state import State, end_leftovers


class Command(NamedTuple):
    """The command of a server's process."""

    argv: list[str]
    cwd: Path
    env: Mapping[str, str]
    uid: int | None = None


class Server(ABC):
    """One server on one port, with its data in the state folder.

    `start` returns when it serves. `stop`, `kill` and `start` may be called in any
    order; a call with nothing to do is harmless.
    """

    name: str
    start_timeout: ClassVar[float] = 60.0
    stop_timeout: ClassVar[float] = 10.0
    stop_signal: ClassVar[signal.Signals] = signal.SIGTERM

    def __init__(self, state: State, port: int) -> None:
        self.state = state
        self.port = port
        self.child = Child(self.name, state, self.stop_signal)

    @property
    def folder(self) -> Path:
        """The server's private folder."""
        return self.state.folder(self.name)

    @abstractmethod
    def command(self) -> Command:
        """Prepare data and configuration; returns the command."""

    @abstractmethod
    def ready(self) -> bool:
        """One short probe: whether it serves. Raises ProcessFailed if it never will."""

    @property
    def address(self) -> str:
        """Where people find it, for the table of what is up; may be empty."""
        return ""

    def version(self) -> str:
        """Of what runs, asked of the running server; may be empty."""
        return ""

    def start(self) -> None:
        """Start and return when `ready`; nothing when it runs already.

        Raises ProcessFailed (with the log's end) when it ends or stays unready.
        """
        if self.child.alive:
            return
        self.launch()
        self.wait_ready()

    def launch(self) -> None:
        """Start without waiting, to start several at once.

        Raises ProcessFailed if another process has taken the port: it might speak the
        same protocol and be mistaken for ours.
        """
        if self.port and not ports.is_free(self.port):
            end_leftovers(self.state.path, self.name)
            if not ports.is_free(self.port):
                raise ProcessFailed(f"{self.name}: port {self.port} is already in use")
        argv, cwd, env, uid = self.command()
        self.child.start(argv, cwd=cwd, env=env, uid=uid)

    def wait_ready(self) -> None:
        """Wait until `ready`; kills a server that does not become ready."""
        try:
            self.child.wait_until(self.ready, self.start_timeout, "become ready")
        except BaseException:
            self.child.kill()
            raise

    def stop(self) -> None:
        """Stop in order, in limited time; leaves no process."""
        self.child.stop(self.stop_timeout)

    def kill(self) -> None:
        """Send SIGKILL to the whole group."""
        self.child.kill()

    def restart(self) -> None:
        """Stop, then start on the same port and data."""
        self.stop()
        self.start()

    def pause(self) -> None:
        """Send SIGSTOP: it keeps its connections and answers nothing."""
        self.child.pause()

    def resume(self) -> None:
        """SIGCONT."""
        self.child.resume()

    @property
    def alive(self) -> bool:
        """Whether its process runs."""
        return self.child.alive

    @property
    def pid(self) -> int:
        """Process id of the leader, as for `os.kill` or psutil."""
        return self.child.pid


def plain_environment(**more: str) -> dict[str, str]:
    """An environment without the user's PG..., RABBITMQ_... and locale variables."""
    keep = {key: os.environ[key] for key in ("PATH", "TMPDIR") if key in os.environ}
    return {**keep, "LANG": "C.UTF-8", "LC_ALL": "C.UTF-8", **more}
