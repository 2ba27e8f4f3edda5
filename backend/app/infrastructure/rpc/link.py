"""One connection to the broker, used by one thread only.

py-amqp connections must not be shared between threads: a publish may read, and a
read may write. Everything here is called by the I/O thread of ``client.py``.
"""

import select
import socket
import ssl
import time
from collections.abc import Callable
from functools import partial
from typing import Any
from uuid import uuid4

from kombu import Connection, Consumer, Queue
from kombu.message import Message

from app.core.config import RabbitMQSettings, RpcSettings

CONNECT_TIMEOUT = 3.0
WRITE_TIMEOUT = 5.0
READ_TIMEOUT = 10.0
DRAIN_AT_ONCE = 256
VIRTUAL_POLL = 0.01


class Link:
    """A connection, a channel in confirm mode, and an exclusive queue for replies.

    ``errors`` are the exceptions that mean "the connection is lost".
    """

    def __init__(
        self,
        rabbitmq: RabbitMQSettings,
        rpc: RpcSettings,
        *,
        wake_fd: int,
        on_reply: Callable[[Message], None],
        on_return: Callable[[str], None],
        on_confirm: Callable[[bool, int, bool], None],
    ) -> None:
        self._connection = _connection(rabbitmq, rpc)
        self._wake_fd = wake_fd
        self._on_reply = on_reply
        self._on_return = on_return
        self._on_confirm = on_confirm
        self._poll = select.poll()
        self._virtual = False
        self._published = 0
        self.reply_to = f"rpc.reply.{uuid4()}"
        self.blocked_reason: str | None = None
        self.errors: tuple[type[BaseException], ...] = (
            *self._connection.connection_errors,
            *self._connection.channel_errors,
            OSError,
        )

    def open(self) -> None:
        """Connect, and consume from the reply queue. Blocks for a bounded time."""
        self._connection.connect()
        self._channel: Any = self._connection.channel()
        self._virtual = not hasattr(self._channel, "confirm_select")
        if not self._virtual:
            self._open_amqp()
        queue = Queue(
            self.reply_to,
            exclusive=True,
            auto_delete=True,
            durable=False,
            max_length=None,
        )
        self._consumer = Consumer(
            self._channel, [queue], on_message=self._on_reply, no_ack=True
        )
        self._consumer.consume()

    def _open_amqp(self) -> None:
        amqp = self._connection.connection
        # With this capability py-amqp reads from the socket, without waiting, before
        # every publish, and spins while a frame is half there. The broker has been
        # told already and keeps sending its notices.
        amqp.client_properties["capabilities"]["connection.blocked"] = False
        amqp.on_blocked = self._blocked
        amqp.on_unblocked = self._unblocked
        self._channel.confirm_select()
        self._channel.events["basic_return"].add(self._returned)
        self._channel.events["basic_ack"].add(partial(self._on_confirm, True))
        self._channel.events["basic_nack"].add(partial(self._on_confirm, False))
        self._poll.register(amqp.transport.sock, select.POLLIN)
        self._poll.register(self._wake_fd, select.POLLIN)

    def _blocked(self, reason: str) -> None:
        self.blocked_reason = reason

    def _unblocked(self) -> None:
        self.blocked_reason = None

    def _returned(
        self, _error: Exception, _exchange: str, _routing_key: str, message: Any
    ) -> None:
        self._on_return(message.properties["correlation_id"])

    def publish(
        self,
        queue: str,
        body: bytes,
        properties: dict[str, Any],
        headers: dict[str, Any],
    ) -> int:
        """Send one request; returns the tag by which the broker confirms it."""
        message = self._channel.prepare_message(
            body,
            content_type="application/json",
            content_encoding="utf-8",
            headers=headers,
            properties={**properties, "reply_to": self.reply_to, "delivery_mode": 1},
        )
        self._channel.basic_publish(
            message, exchange="", routing_key=queue, mandatory=True
        )
        self._published += 1
        return self._published

    def wait(self, timeout: float) -> None:
        """Return when something arrived or was handed in, or after ``timeout`` seconds.

        What arrived is dispatched to the callbacks.
        """
        if self._virtual:
            self._wait_virtual()
        elif self._readable(timeout):
            for _ in range(DRAIN_AT_ONCE):
                self._drain(0.001)
                if not self._readable(0):
                    break

    def _readable(self, timeout: float) -> bool:
        transport = self._connection.connection.transport
        pending = getattr(transport.sock, "pending", None)
        if pending is not None and pending():  # TLS holds what poll() cannot see
            return True
        ready = self._poll.poll(timeout * 1000)
        return any(fd != self._wake_fd for fd, _ in ready)

    def _wait_virtual(self) -> None:
        # kombu's virtual transports (Redis) have no socket of ours to poll.
        self._drain(VIRTUAL_POLL)

    def _drain(self, timeout: float) -> None:
        try:
            self._connection.drain_events(timeout=timeout)
        except (socket.timeout, TimeoutError):
            pass  # half a frame: the rest will make the socket readable

    def heartbeat(self) -> None:
        """Send a heartbeat if one is due; raises if the broker's stay away."""
        if not self._virtual:
            self._connection.heartbeat_check()

    def close(self) -> None:
        """Close politely, in bounded time: only for a connection that works."""
        self._connection.connection.transport.sock.settimeout(1.0)
        self._connection.release()

    def drop(self) -> None:
        """Forget the connection without a word to the broker."""
        self._connection.collect(socket_timeout=0.1)


def _connection(rabbitmq: RabbitMQSettings, rpc: RpcSettings) -> Connection:
    if rpc.broker_url is not None:
        return Connection(
            rpc.broker_url.get_secret_value(), connect_timeout=CONNECT_TIMEOUT
        )
    return Connection(
        hostname=rabbitmq.host,
        port=rabbitmq.port,
        userid=rabbitmq.user,
        password=rabbitmq.password.get_secret_value(),
        virtual_host=rabbitmq.vhost,
        transport="pyamqp",
        ssl=_tls(rabbitmq) if rabbitmq.ssl else False,
        heartbeat=rabbitmq.heartbeat_seconds,
        connect_timeout=CONNECT_TIMEOUT,
        transport_options={
            "read_timeout": READ_TIMEOUT,
            "write_timeout": WRITE_TIMEOUT,
            "client_properties": {"connection_name": f"rpc client {time.time():.0f}"},
        },
    )


def _tls(rabbitmq: RabbitMQSettings) -> dict[str, Any]:
    # Without a CA file of its own, py-amqp trusts those of the system.
    return {"cert_reqs": ssl.CERT_REQUIRED, "ca_certs": rabbitmq.ssl_ca_file}
