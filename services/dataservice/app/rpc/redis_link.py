"""The link over kombu's Redis transport, for machines without RabbitMQ.

It has no dead-letter queue, no limits and no count of deliveries: a request whose
handler fails is answered and dropped at once, so that it cannot loop.
"""

from collections.abc import Collection
from contextlib import suppress
from typing import Any

import kombu

from app.rpc.link import CONNECT_TIMEOUT, IO_TIMEOUT, Broker, Link
from app.rpc.message import Outcome, Request, Settlement


class RedisLink(Link):
    """kombu polls several sockets itself; the loop polls the same ones before."""

    delivery_limit = 1

    @property
    def descriptors(self) -> Collection[int]:
        # Asks Redis for the next request, if the prefetch allows one again.
        self._wire.cycle.on_poll_start()
        return set(self._wire.cycle.fds)

    def receive(self) -> None:
        try:
            while True:
                self._transport.drain_events(self._wire, timeout=0)
        except TimeoutError:
            pass

    def heartbeat(self) -> None:
        """kombu checks its Redis connections whenever it looks for messages."""
        self.receive()

    def send(self, outcomes: list[tuple[Request, Outcome]]) -> None:
        self._publish_replies(outcomes)
        for request, outcome in outcomes:
            if request.link is not self:
                continue
            if outcome.settlement is Settlement.ACK:
                self._channel.basic_ack(request.tag)
            else:
                self._channel.basic_reject(
                    request.tag, requeue=outcome.settlement is Settlement.REQUEUE
                )

    def cancel(self) -> None:
        self._channel.basic_cancel(self._consumer_tag)

    def close(self) -> None:
        self._on_request = lambda request: None
        self._transport.close_connection(self._wire)

    def drop(self) -> None:
        if self._wire is not None:
            with suppress(Exception):
                self._transport.close_connection(self._wire)

    def _on_message(self, message: Any) -> None:
        body = message.body
        self._on_request(
            Request(
                body=body.encode() if isinstance(body, str) else body,
                headers=message.headers,
                reply_to=message.properties.get("reply_to"),
                correlation_id=message.properties.get("correlation_id"),
                tag=message.delivery_tag,
                link=self,
                expiration=message.properties.get("expiration"),
            )
        )

    @staticmethod
    def _connection_to(broker: Broker) -> kombu.Connection:
        assert broker.url, "only a URL names Redis"
        return kombu.Connection(
            broker.url,
            transport_options={
                "socket_timeout": IO_TIMEOUT,
                "socket_connect_timeout": CONNECT_TIMEOUT,
            },
        )
