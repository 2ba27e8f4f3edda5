"""Attempts to connect: logs each failure, and decides how long to wait."""

import logging
import time

from chassis.outages import Outage
from chassis.rpc.backoff import Backoff
from chassis.rpc.connection import BrokerConnection

logger = logging.getLogger(__name__)

#: After a connection held this long, the next loss starts with the shortest wait.
STABLE_SECONDS = 1.0


class Attempts:
    """The attempts of one owner, which opens one connection to ``what`` after
    another."""

    def __init__(self, what: object) -> None:
        self._what = str(what)
        self._outage = Outage(self._what)
        self._backoff = Backoff()
        self._connected: float | None = None
        self._in_a_row = 0

    def succeeded(self) -> None:
        """Report that the connection is open."""
        self._connected = time.monotonic()
        self._in_a_row = 0
        if self._outage.restored():
            logger.info("Connected to %s", self._what)

    def failed(
        self,
        error: Exception,
        connection: BrokerConnection,
        known: tuple[type[BaseException], ...] = (),
    ) -> float:
        """Report that the connection failed, at once or later; returns the seconds to
        wait: none before every node was tried.

        An error that neither the connection nor ``known`` names is a bug, and logged
        with its traceback.
        """
        began, self._connected = self._connected, None
        # Measure the connection only, not the attempt: RabbitMQ is slow to refuse one.
        if began is not None and time.monotonic() - began > STABLE_SECONDS:
            self._backoff.reset()
        is_bug = not isinstance(error, (*connection.errors, *known))
        self._outage.lost(error, connection.advice(error), is_bug=is_bug)
        self._in_a_row += 1
        is_round = self._in_a_row % connection.nodes == 0
        return self._backoff.next_delay() if is_round else 0.0
