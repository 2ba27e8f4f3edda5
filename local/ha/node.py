"""One node of a cluster: a server that can be lost for good, and replaced."""

import shutil
from contextlib import suppress
from typing import ClassVar

import psutil

from local import ports
from local.ha.network import Host
from local.servers.base import Server
from local.state import State, end_leftovers, leftovers


class Node(Server):
    """It listens at `at`, on a host of its own.

    What it starts may leave its process group, so signals go to everything that bears
    its name.
    """

    kind: ClassVar[str]

    def __init__(self, state: State, host: Host, port: int) -> None:
        self.name = host.name
        super().__init__(state, 0)  # nobody else can take a port on that host
        self.machine = host
        self.at = ports.at(port, host.address)
        self.is_replacement = False

    @property
    def address(self) -> str:
        return self.at

    def kill(self) -> None:
        """Send SIGKILL to all of it at once."""
        end_leftovers(self.state.path, self.name)
        super().kill()

    def pause(self) -> None:
        for process in leftovers(self.state.path, self.name):
            with suppress(psutil.NoSuchProcess):
                process.suspend()

    def resume(self) -> None:
        for process in leftovers(self.state.path, self.name):
            with suppress(psutil.NoSuchProcess):
                process.resume()

    def clear(self) -> None:
        """Delete its data: the next start is that of a new node in its place."""
        self.kill()
        shutil.rmtree(self.folder)
        self.is_replacement = True

    def start(self) -> None:
        super().start()
        self.is_replacement = False

    def step_down(self) -> None:
        """Before a planned stop: leave the work to other nodes."""

    def is_whole(self) -> bool:
        """Whether the cluster has it as a full member again."""
        return self.ready()
