"""Publishes events, and returns when the broker has them."""

import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import takewhile
from typing import Any

from chassis.events.event import CONTENT_TYPE
from chassis.events.topology import PREVIOUS, events_exchange
from chassis.rpc.attempts import Attempts
from chassis.rpc.backoff import Backoff
from chassis.rpc.brokers import connections, new_connection
from chassis.rpc.connection import BrokerConnection
from chassis.rpc.poller import Poller
from chassis.settings import RabbitMQSettings, RpcSettings

logger = logging.getLogger(__name__)

#: Seconds that the broker may take to confirm the messages of one call.
CONFIRM_SECONDS = 10.0
HEARTBEAT_CHECK = 1.0
REMINDER_SECONDS = 60.0

FULL = "a queue of a subscriber is full"


class NotPublished(Exception):
    """The broker may lack some of the messages: publish them all again, after ``pause``
    seconds. ``is_refused``: it has answered, and did not want them."""

    def __init__(self, reason: str, pause: float, *, is_refused: bool = False) -> None:
        super().__init__(reason)
        self.pause = pause
        self.is_refused = is_refused


@dataclass(frozen=True, slots=True)
class EventMessage:
    """An event on its way. ``previous`` is the sequence published before."""

    id: str
    type: str
    body: bytes
    previous: int
    traceparent: str | None = None


class EventPublisher:
    """One connection to the broker, for one thread; only ``interrupt`` is for others.

    Args:
        exchange: the topic exchange, which it declares.
        name: RabbitMQ shows the connection under this name.
    """

    def __init__(
        self, rabbitmq: RabbitMQSettings, rpc: RpcSettings, exchange: str, name: str
    ) -> None:
        self._connections = connections(rabbitmq, rpc, name)
        self._attempts = Attempts(new_connection(rabbitmq, rpc, name))
        self._exchange = events_exchange(exchange)
        self._connection: BrokerConnection | None = None
        self._poller = Poller()
        self._sent = 0  # on this connection; the broker confirms by this number
        self._unconfirmed: dict[int, None] = {}
        self._has_refused = False
        self._backoff = Backoff()
        self._next_heartbeat = 0.0
        self._next_warning: float | None = None

    @property
    def exchange(self) -> str:
        """Its name."""
        return str(self._exchange.name)

    def open(self) -> None:
        """Connect, unless it is connected to a node that stays.

        Raises:
            NotPublished: it cannot connect now.
        """
        if self._connection is not None and self._connection.is_leaving:
            self._close_connection()
        if self._connection is None:
            connection = next(self._connections)
            with self._translated(connection):
                connection.open(self._set_up)
            self._connection = connection
            self._attempts.succeeded()

    def publish(self, messages: Sequence[EventMessage]) -> None:
        """Send them in this order, and return when the broker has confirmed all.

        They are persistent. A message that no queue wants counts as published.

        Raises:
            NotPublished: it has not.
        """
        self.open()
        connection = self._connection
        assert connection is not None
        with self._translated(connection):
            with connection.one_write():
                for message in messages:
                    self._send(connection, message)
            self._await_confirms(connection)
        if self._has_refused:
            self._has_refused = False
            raise NotPublished(FULL, self._report(FULL), is_refused=True)
        self._backoff.reset()
        if self._next_warning is not None:
            self._next_warning = None
            logger.warning("RabbitMQ accepts events again")

    def wait(self, seconds: float) -> None:
        """Wait, at most so long, and answer the broker's heartbeats.

        Raises:
            NotPublished: the connection is lost.
        """
        connection = self._connection
        if connection is None:
            self._poller.wait(seconds)
            return
        with self._translated(connection):
            self._turn(connection, seconds)

    def interrupt(self) -> None:
        """End this wait or the next one; also for signal handlers."""
        self._poller.interrupt()

    def close(self) -> None:
        """Close the connection. Nothing may be called after this."""
        self._close_connection()
        self._poller.close()

    def _close_connection(self) -> None:
        connection, self._connection = self._connection, None
        self._poller.watch(())
        if connection is not None:
            try:
                connection.close()
            except Exception as error:
                logger.info("The connection was not closed in order: %r", error)

    @contextmanager
    def _translated(self, connection: BrokerConnection) -> Iterator[None]:
        """Give the connection up when something inside fails."""
        try:
            yield
        except Exception as error:  # also for a bug of ours: the log must not stop
            self._connection = None
            self._poller.watch(())
            connection.drop()
            pause = self._attempts.failed(error, connection)
            raise NotPublished(f"the connection was lost: {error}", pause) from error

    def _set_up(self, channel: Any) -> None:
        self._exchange(channel).declare()
        self._sent, self._unconfirmed, self._has_refused = 0, {}, False
        channel.confirm_select()
        channel.events["basic_ack"].add(self._on_ack)
        channel.events["basic_nack"].add(self._on_nack)

    def _send(self, connection: BrokerConnection, message: EventMessage) -> None:
        headers = {PREVIOUS: str(message.previous)}
        if message.traceparent is not None:
            headers["traceparent"] = message.traceparent
        channel = connection.channel
        prepared = channel.prepare_message(
            message.body,
            content_type=CONTENT_TYPE,
            content_encoding="utf-8",
            headers=headers,
            properties={"message_id": message.id, "delivery_mode": 2},
        )
        channel.basic_publish(
            prepared, exchange=self._exchange.name, routing_key=message.type
        )
        self._sent += 1
        self._unconfirmed[self._sent] = None

    def _await_confirms(self, connection: BrokerConnection) -> None:
        until = time.monotonic() + CONFIRM_SECONDS
        while self._unconfirmed:
            left = until - time.monotonic()
            if left <= 0:
                why = connection.blocked or "no confirmation"
                raise TimeoutError(f"RabbitMQ accepts no events: {why}")
            self._turn(connection, min(left, HEARTBEAT_CHECK))

    def _turn(self, connection: BrokerConnection, seconds: float) -> None:
        self._poller.watch(connection.descriptors)
        if self._poller.wait(seconds):
            connection.receive()
        now = time.monotonic()
        if now >= self._next_heartbeat:
            self._next_heartbeat = now + HEARTBEAT_CHECK
            connection.heartbeat()

    def _on_ack(self, tag: int, multiple: bool) -> None:
        tags = [tag]
        if multiple:  # tags increase, and a dict keeps insertion order
            tags = list(takewhile(lambda known: known <= tag, self._unconfirmed))
        for known in tags:
            self._unconfirmed.pop(known, None)

    def _on_nack(self, tag: int, multiple: bool) -> None:
        self._has_refused = True
        self._on_ack(tag, multiple)

    def _report(self, reason: str) -> float:
        """Log a refusal, at intervals; returns the seconds to wait."""
        now = time.monotonic()
        if self._next_warning is None or now >= self._next_warning:
            self._next_warning = now + REMINDER_SECONDS
            logger.warning("RabbitMQ refuses events, which wait in the log: %s", reason)
        return self._backoff.next_delay()
