"""Attempts to connect: what to say of a failure, and how long to wait for the next."""

import logging
import time

from chassis.outages import Outage
from chassis.rpc.backoff import Backoff

logger = logging.getLogger(__name__)

#: A connection that held this long makes the next loss wait from the start again.
STABLE_SECONDS = 1.0


class Attempts:
    """Of one owner, which makes one connection to ``what`` after another."""

    def __init__(self, what: object) -> None:
        self._what = str(what)
        self._outage = Outage(self._what)
        self._backoff = Backoff()
        self._connected: float | None = None

    def succeeded(self) -> None:
        """The connection is there."""
        self._connected = time.monotonic()
        if self._outage.restored():
            logger.info("Connected to %s", self._what)

    def failed(
        self, error: Exception, *, expected: bool, advice: str | None = None
    ) -> float:
        """The connection failed, at once or later; the seconds to wait now.

        An error that is not ``expected`` is a bug, and logged with its traceback.
        """
        began, self._connected = self._connected, None
        # How long an attempt took says nothing: RabbitMQ takes its time to refuse.
        if began is not None and time.monotonic() - began > STABLE_SECONDS:
            self._backoff.reset()
        self._outage.lost(error, advice, is_bug=not expected)
        return self._backoff.next_delay()
