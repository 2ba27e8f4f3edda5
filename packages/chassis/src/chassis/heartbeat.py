"""A heartbeat file for a container's probe."""

import logging
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

logger = logging.getLogger(__name__)


class Heartbeat(Protocol):
    """What a loop tells about itself."""

    def set_connected(self, connected: bool) -> None: ...

    def touch(self) -> None: ...


class HeartbeatFile:
    """A file whose modification time shows that the process works.

    A probe checks its age and contacts no server. The time may stand still for up to 10
    seconds while a connection opens, so a probe should allow 30.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._fails = False

    def set_connected(self, connected: bool) -> None:
        """Create the file ``<name>.connected``, or remove it, for a readiness probe."""
        marker = self._path.with_name(f"{self._path.name}.connected")
        try:
            if connected:
                marker.touch()
            else:
                marker.unlink(missing_ok=True)
        except OSError as error:
            logger.warning("Cannot write %s: %s", marker, error)

    def touch(self) -> None:
        """Update the file's time."""
        try:
            self._path.touch()
            self._fails = False
        except OSError as error:
            if not self._fails:  # otherwise it logs a line per second
                logger.warning("Cannot touch the heartbeat file: %s", error)
            self._fails = True


class JointHeartbeat:
    """The heartbeat of several loops: it stands still when one of them does, and is
    connected when all are."""

    def __init__(self, heartbeat: Heartbeat | None, loops: int) -> None:
        self._heartbeat = heartbeat
        self._lock = threading.Lock()
        self._all = frozenset(range(loops))
        self._silent = set(self._all)
        self._connected: set[int] = set()

    @property
    def parts(self) -> list["HeartbeatPart"]:
        """One for each loop."""
        return [HeartbeatPart(self, number) for number in self._all]

    def touch(self, number: int) -> None:
        """A loop works."""
        with self._lock:
            self._silent.discard(number)
            if not self._silent:
                self._silent = set(self._all)
                if self._heartbeat:
                    self._heartbeat.touch()

    def set_connected(self, number: int, connected: bool) -> None:
        """A loop is connected, or not."""
        with self._lock:
            change = self._connected.add if connected else self._connected.discard
            change(number)
            if self._heartbeat:
                self._heartbeat.set_connected(self._connected == self._all)


@dataclass(frozen=True)
class HeartbeatPart:
    """A loop's part of a joint heartbeat."""

    joint: JointHeartbeat
    number: int

    def set_connected(self, connected: bool) -> None:
        """As of a file."""
        self.joint.set_connected(self.number, connected)

    def touch(self) -> None:
        """As of a file."""
        self.joint.touch(self.number)
