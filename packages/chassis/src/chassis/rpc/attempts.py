"""Attempts to connect: what to say of a failure, and how long to wait for the next."""

import logging
import time

from chassis.rpc.backoff import Backoff

logger = logging.getLogger(__name__)

#: A connection that held this long makes the next loss wait from the start again.
STABLE_SECONDS = 1.0


class Attempts:
    """Of one owner, which makes one connection after another.

    Each kind of failure is logged once, until a connection is there again.
    """

    def __init__(self) -> None:
        self._backoff = Backoff()
        self._began = 0.0
        self._reported: set[str] = set()

    def begin(self) -> None:
        """One more."""
        self._began = time.monotonic()

    def succeeded(self) -> None:
        """The connection is there."""
        self._reported.clear()

    def failed(self, what: object, error: Exception, *, expected: bool) -> float:
        """The connection failed, at once or later; the seconds to wait now.

        An error that is not ``expected`` is a bug, and logged with its traceback.
        """
        if time.monotonic() - self._began > STABLE_SECONDS:
            self._backoff.reset()
        failure = f"{type(error).__name__}: {error}"
        if failure not in self._reported:
            self._reported.add(failure)
            logger.warning(
                "Not connected to %s: %s: trying again, at most %g s apart",
                what,
                failure,
                self._backoff.longest,
                exc_info=None if expected else error,
            )
        return self._backoff.next_delay()
