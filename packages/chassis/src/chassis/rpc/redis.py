"""The connection over kombu's Redis transport, for machines without RabbitMQ.

It has no confirms, no returns, no limits, no expiry, no dead letters and no delivery
count. A call that no service takes ends by its deadline. If a handler fails, its
request is answered and dropped at once, so it cannot loop.
"""

import time
from collections.abc import Callable, Collection
from contextlib import suppress
from typing import Any

from kombu import Connection

from chassis.redis_url import RedisUrl
from chassis.rpc.connection import (
    CONNECT_TIMEOUT,
    IO_TIMEOUT,
    BrokerConnection,
    Delivery,
    OnDelivery,
)

# Seconds for one answer of a Sentinel.
SENTINEL_TIMEOUT = 0.5


class RedisConnection(BrokerConnection):
    """kombu polls several sockets itself; the owner polls the same ones first."""

    system = "redis"
    is_reliable = False
    _ahead = 0.0

    def __init__(self, url: str, ca_file: str | None, key_prefix: str) -> None:
        place = RedisUrl.read(url)
        timeouts = {
            "socket_timeout": IO_TIMEOUT,
            "socket_connect_timeout": CONNECT_TIMEOUT,
        }
        options: dict[str, Any] = {"global_keyprefix": key_prefix, **timeouts}
        if place.master_name:
            options["master_name"] = place.master_name
            options["sentinel_kwargs"] = _sentinel_options(place)
        super().__init__(
            Connection(
                place.kombu_url,
                transport_options=options,
                # kombu verifies nothing by default.
                ssl=(
                    False
                    if place.tls is None
                    else {"ssl_ca_certs": ca_file} | {**place.tls}
                ),
            )
        )

    def advice(self, error: BaseException) -> str | None:
        # By name: importing redis would import OpenTelemetry's SDK, even if it is off.
        if type(error).__name__ == "AuthenticationError":
            return "user or password is wrong: check RPC_BROKER_URL"
        return None

    def open(self, set_up: Callable[[Any], None]) -> None:
        def set_up_with_clock(channel: Any) -> None:
            seconds, microseconds = channel.client.time()
            # From here on the monotonic clock counts, which nobody sets.
            self._ahead = seconds + microseconds / 1e6 - time.monotonic()
            set_up(channel)

        super().open(set_up_with_clock)

    def now(self) -> float:
        """By Redis' clock: those of callers and services may differ."""
        return time.monotonic() + self._ahead

    @property
    def descriptors(self) -> Collection[int]:
        # Requests the next message from Redis, if the prefetch allows another.
        self._driver.cycle.on_poll_start()
        return set(self._driver.cycle.fds)

    def receive(self, is_enough: Callable[[], bool] = lambda: False) -> None:
        with suppress(TimeoutError):
            while True:
                self._transport.drain_events(self._driver, timeout=0)
                if is_enough():
                    break

    def heartbeat(self) -> None:
        """kombu checks its Redis connections whenever it looks for messages."""
        self.receive()

    def close(self) -> None:
        self._transport.close_connection(self._driver)

    def drop(self) -> None:
        if self._driver is not None:
            with suppress(Exception):
                self._transport.close_connection(self._driver)

    def consume(
        self, queue: str, on_delivery: OnDelivery, *, tag: str, no_ack: bool = False
    ) -> None:
        def on_message(message: Any) -> None:
            body = message.body
            body = body.encode() if isinstance(body, str) else body
            properties, delivery_tag = message.properties, message.delivery_tag
            on_delivery(Delivery(body, message.headers, properties, delivery_tag))

        self.channel.basic_consume(
            queue=queue, no_ack=no_ack, callback=on_message, consumer_tag=tag
        )


def _sentinel_options(place: RedisUrl) -> dict[str, Any]:
    # Here, because importing redis would import OpenTelemetry's SDK, even if it is off.
    from redis.backoff import NoBackoff
    from redis.retry import Retry

    return {
        **place.sentinel_options,
        "socket_timeout": SENTINEL_TIMEOUT,
        "socket_connect_timeout": SENTINEL_TIMEOUT,
        "retry": Retry(NoBackoff(), 0),  # there are others to ask
    }
