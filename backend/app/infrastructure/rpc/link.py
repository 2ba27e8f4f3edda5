"""One connection to the broker, from its opening to its loss.

A link is used by the I/O thread of ``client.py`` only: py-amqp's connections must not
be shared between threads. It is never repaired: when anything on it fails, ``drop``
it and open another.
"""

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any, Protocol
from uuid import uuid4

from kombu import Connection

# Seconds for connecting, for an answer of the broker, and for saying goodbye.
CONNECT_TIMEOUT = 3.0
IO_TIMEOUT = 5.0
CLOSE_TIMEOUT = 1.0


@dataclass(frozen=True, slots=True)
class Outgoing:
    """One request, ready to be sent."""

    queue: str
    body: bytes
    correlation_id: str
    expiration_ms: int
    headers: dict[str, Any]


class Events(Protocol):
    """What a link tells its owner, from within ``open`` and ``receive``."""

    def on_reply(
        self, correlation_id: str | None, body: str | bytes, headers: dict[str, Any]
    ) -> None:
        """A reply has arrived."""

    def on_return(self, correlation_id: str) -> None:
        """A request came back: its queue does not exist."""

    def on_confirm(self, accepted: bool, tag: int, multiple: bool) -> None:
        """The broker took or refused the ``tag``-th request, or all up to it."""


class Link(ABC):
    """A connection and an exclusive queue for the replies to this process.

    ``blocked`` is the reason for which the broker takes no messages now, if any.
    """

    def __init__(self, connection: Connection, events: Events) -> None:
        self._connection = connection
        self._events = events
        self._transport: Any = connection.transport
        self._channel: Any = None
        self.reply_to = f"rpc.reply.{uuid4()}"
        self.blocked: str | None = None

    @property
    def errors(self) -> tuple[type[BaseException], ...]:
        """What it fails with when the connection is lost."""
        return (
            *self._connection.connection_errors,
            *self._connection.channel_errors,
            OSError,
        )

    @property
    @abstractmethod
    def descriptors(self) -> Collection[int]:
        """What to poll before :meth:`receive`."""

    @abstractmethod
    def open(self) -> None:
        """Connect, and consume from the reply queue, in bounded time."""

    @abstractmethod
    def send(self, requests: Iterable[Outgoing]) -> None:
        """Publish requests; the broker confirms them in this order, from 1 on."""

    @abstractmethod
    def receive(self) -> None:
        """Dispatch all that has arrived; never waits."""

    @abstractmethod
    def heartbeat(self) -> None:
        """To be called about every second; raises when the broker has gone silent."""

    @abstractmethod
    def close(self) -> None:
        """Say goodbye, in bounded time."""

    @abstractmethod
    def drop(self) -> None:
        """Let go of a link that failed, without waiting for the broker."""

    def _consume_replies(self) -> None:
        self._channel.queue_declare(
            queue=self.reply_to, durable=False, exclusive=True, auto_delete=True
        )
        self._channel.basic_consume(
            queue=self.reply_to,
            no_ack=True,
            callback=self._on_message,
            consumer_tag="replies",
        )

    @abstractmethod
    def _on_message(self, message: Any) -> None:
        """Turn what the transport delivers into an event."""

    def _publish(self, request: Outgoing) -> None:
        message = self._channel.prepare_message(
            request.body,
            content_type="application/json",
            content_encoding="utf-8",
            headers=request.headers,
            properties={
                "correlation_id": request.correlation_id,
                "reply_to": self.reply_to,
                "expiration": str(request.expiration_ms),
                "delivery_mode": 1,
            },
        )
        self._channel.basic_publish(
            message, exchange="", routing_key=request.queue, mandatory=True
        )
