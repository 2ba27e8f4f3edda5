"""One connection to the broker, from its opening to its loss.

A link is used by the I/O thread only, and never repaired: when anything on it fails,
`drop` it and open another.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Any

import kombu

from app.rpc.message import Outcome, Reply, Request
from app.rpc.topology import QueueMismatch, RequestQueue

#: Seconds for the broker to let us consume, and for a write to be taken by the kernel.
IO_TIMEOUT = 10.0
#: Seconds for connecting, of which name resolution is no part.
CONNECT_TIMEOUT = 5.0
#: Seconds for saying goodbye.
CLOSE_TIMEOUT = 2.0


@dataclass(frozen=True)
class Broker:
    """Where the broker is. `url`, a kombu URL, replaces the fields before it."""

    host: str
    port: int
    username: str
    password: str = field(repr=False)
    vhost: str
    ssl: bool
    url: str | None = field(repr=False)
    heartbeat_seconds: int
    client_name: str


class Link(ABC):
    """Receives requests, publishes replies, settles deliveries."""

    #: Deliveries that a message gets before it is dead-lettered.
    delivery_limit: int
    #: When `flush` is due, by the monotonic clock.
    flush_at = math.inf

    def __init__(
        self,
        broker: Broker,
        queue: RequestQueue,
        prefetch: int,
        on_request: Callable[[Request], None],
    ) -> None:
        self._broker = broker
        self._queue = queue
        self._prefetch = prefetch
        self._on_request = on_request
        self._consumer_tag = broker.client_name
        self._connection = self._connection_to(broker)
        self._transport: Any = self._connection.transport
        self._wire: Any = None
        self._channel: Any = None

    def open(self) -> None:
        """Connects, declares the queues and begins to consume.

        Bounded by CONNECT_TIMEOUT for the connection and IO_TIMEOUT for the rest.
        Raises QueueMismatch, and the transport's errors.
        """
        self._wire = self._transport.establish_connection()
        self._open_channel()

    def __str__(self) -> str:
        return f"{self._queue.name!r} at {self._connection.as_uri()}"

    @property
    def errors(self) -> tuple[type[BaseException], ...]:
        """What a link fails with when it is not a bug of ours."""
        return (
            *self._connection.connection_errors,
            *self._connection.channel_errors,
            QueueMismatch,
        )

    @abstractmethod
    def send(self, outcomes: list[tuple[Request, Outcome]]) -> None:
        """Publishes the replies, then settles those deliveries that are of this link.

        An outcome of an earlier link has only its reply sent, while somebody may still
        wait for it: the broker has given its delivery to somebody else.
        """

    def flush(self) -> None:
        """Sends what waits for company; does nothing if nothing does."""

    @property
    @abstractmethod
    def descriptors(self) -> Collection[int]:
        """What to poll before `receive`."""

    @abstractmethod
    def receive(self) -> None:
        """Hands over every request that has arrived; never waits."""

    @abstractmethod
    def heartbeat(self) -> None:
        """To be called about every second; raises when the broker has gone silent."""

    @abstractmethod
    def cancel(self) -> None:
        """Asks for no further requests; some may still arrive."""

    @abstractmethod
    def close(self) -> None:
        """Says goodbye within CLOSE_TIMEOUT; what is unsettled returns to the queue."""

    @abstractmethod
    def drop(self) -> None:
        """Lets go of a link that failed, without waiting for the broker."""

    @staticmethod
    @abstractmethod
    def _connection_to(broker: Broker) -> kombu.Connection: ...

    def _open_channel(self) -> None:
        self._channel = self._transport.create_channel(self._wire)
        self._queue.declare(self._channel)
        self._channel.basic_qos(0, self._prefetch, False)
        self._channel.basic_consume(
            queue=self._queue.name,
            no_ack=False,
            callback=self._on_message,
            consumer_tag=self._consumer_tag,
        )

    @abstractmethod
    def _on_message(self, message: Any) -> None:
        """Turns what the transport delivers into a Request."""

    def _publish_replies(self, outcomes: list[tuple[Request, Outcome]]) -> None:
        for request, outcome in outcomes:
            if outcome.reply and request.reply_to:
                if request.link is self or not request.is_stale():
                    self._publish(request, outcome.reply)

    def _publish(self, request: Request, reply: Reply) -> None:
        message = self._channel.prepare_message(
            reply.body,
            content_type="application/json",
            content_encoding="utf-8",
            headers=reply.headers,
            properties={"correlation_id": request.correlation_id, "delivery_mode": 1},
        )
        self._channel.basic_publish(message, "", request.reply_to)
