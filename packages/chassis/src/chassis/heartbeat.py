"""Shows to a container's probe that a process works."""

import logging
from pathlib import Path

logger = logging.getLogger(__name__)


class HeartbeatFile:
    """A file whose modification time is the last sign of life.

    A probe looks at its age, and asks no server. The time may stand still for up to 10
    seconds while a connection is being made, so a probe should allow 30.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._fails = False

    def touch(self) -> None:
        """Give the sign."""
        try:
            self._path.touch()
            self._fails = False
        except OSError as error:
            if not self._fails:  # it would be a line a second
                logger.warning("Cannot touch the heartbeat file: %s", error)
            self._fails = True
