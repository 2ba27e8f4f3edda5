"""Shows to a container's probe that the I/O loop turns."""

import logging
from pathlib import Path

logger = logging.getLogger(__name__)


class HeartbeatFile:
    """A file whose modification time is the last turn of the loop.

    The time stands still for up to 15 seconds while a connection is being made, so a
    probe should allow 30.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def touch(self) -> None:
        try:
            self._path.touch()
        except OSError as error:
            logger.warning("cannot touch the heartbeat file: %s", error)
