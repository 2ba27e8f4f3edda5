"""A heartbeat file for a container's probe."""

import logging
from pathlib import Path

logger = logging.getLogger(__name__)


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
