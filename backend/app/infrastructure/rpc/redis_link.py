"""The link over kombu's Redis transport, for machines without RabbitMQ.

It knows no confirms, no returns and no limits: a call that nobody takes waits for its
deadline.
"""

from collections.abc import Collection, Iterable
from contextlib import suppress
from typing import Any

from kombu import Connection

from app.infrastructure.rpc.link import (
    CONNECT_TIMEOUT,
    IO_TIMEOUT,
    Events,
    Link,
    Outgoing,
)


class RedisLink(Link):
    """kombu polls several sockets itself; the client polls the same ones before."""

    def __init__(self, url: str, events: Events) -> None:
        options = {
            "socket_timeout": IO_TIMEOUT,
            "socket_connect_timeout": CONNECT_TIMEOUT,
        }
        super().__init__(Connection(url, transport_options=options), events)
        self._wire: Any = None

    @property
    def descriptors(self) -> Collection[int]:
        return set(self._wire.cycle.fds)

    def open(self) -> None:
        self._wire = self._transport.establish_connection()
        self._channel = self._transport.create_channel(self._wire)
        self._consume_replies()
        self.receive()

    def send(self, requests: Iterable[Outgoing]) -> None:
        for request in requests:
            self._publish(request)

    def receive(self) -> None:
        with suppress(TimeoutError):
            while True:
                self._transport.drain_events(self._wire, timeout=0)

    def heartbeat(self) -> None:
        """kombu checks its Redis connections whenever it looks for messages."""
        self.receive()

    def close(self) -> None:
        self._transport.close_connection(self._wire)

    def drop(self) -> None:
        if self._wire is not None:
            with suppress(Exception):
                self._transport.close_connection(self._wire)

    def _on_message(self, message: Any) -> None:
        self._events.on_reply(
            message.properties.get("correlation_id"), message.body, message.headers
        )
