"""The link to RabbitMQ, over kombu and py-amqp."""

import os
import socket
import ssl
import time
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from kombu import Connection

from app.core.config import RabbitMQSettings
from app.infrastructure.rpc.link import (
    CLOSE_TIMEOUT,
    CONNECT_TIMEOUT,
    IO_TIMEOUT,
    Events,
    Link,
    Outgoing,
)

READ_AHEAD = 16 * 1024


class ReadAhead:
    """A ``recv`` for py-amqp that takes what is there, not just the bytes asked for.

    py-amqp reads one message in nine small pieces, and keeps what is over. It also
    retries a would-block within a frame for ever; a time-out makes it keep the part.
    """

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._deadline: float | None = None

    def __call__(self, size: int) -> bytes:
        if self._deadline is not None:
            left = self._deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError("no answer from the broker")
            self._sock.settimeout(left)
        try:
            return self._sock.recv(max(size, READ_AHEAD))
        except (BlockingIOError, ssl.SSLWantReadError):
            raise TimeoutError from None

    @contextmanager
    def within(self, seconds: float) -> Iterator[None]:
        """Bound all waiting inside, however many heartbeats arrive meanwhile."""
        self._deadline = time.monotonic() + seconds
        try:
            yield
        finally:
            self._deadline = None


class AmqpLink(Link):
    """Polls one socket; requests sent together leave in one write."""

    def __init__(self, settings: RabbitMQSettings, events: Events) -> None:
        super().__init__(_connection(settings), events)
        self._wire: Any = None
        self._read: ReadAhead

    @property
    def descriptors(self) -> Collection[int]:
        return (self._wire.sock.fileno(),)

    def open(self) -> None:
        self._wire = self._transport.establish_connection()
        sock = self._wire.sock
        self._read = self._wire.transport._quick_recv = ReadAhead(sock)
        # Otherwise py-amqp looks for a `connection.blocked` by reading before each
        # publish. The broker has been told already, and keeps sending its notices.
        self._wire.client_properties["capabilities"]["connection.blocked"] = False
        self._wire.on_blocked = partial(setattr, self, "blocked")
        self._wire.on_unblocked = partial(setattr, self, "blocked", None)
        with self._read.within(IO_TIMEOUT):
            self._channel = self._transport.create_channel(self._wire)
            self._channel.confirm_select()
            self._consume_replies()
        self._channel.auto_decode = False  # bodies stay bytes
        # A channel that the broker closes would be opened again, without its consumer.
        self._channel._do_revive = lambda: None
        events = self._channel.events
        events["basic_ack"].add(partial(self._events.on_confirm, True))
        events["basic_nack"].add(partial(self._events.on_confirm, False))
        events["basic_return"].add(self._on_return)
        sock.settimeout(IO_TIMEOUT)

    def send(self, requests: Iterable[Outgoing]) -> None:
        with self._one_write():
            for request in requests:
                self._publish(request)

    @contextmanager
    def _one_write(self) -> Iterator[None]:
        """Gather the frames written inside, none of which may wait for an answer."""
        transport = self._wire.transport
        write, frames = transport._write, bytearray()
        transport._write = frames.extend
        try:
            yield
        finally:
            transport._write = write
        if frames:
            transport.write(frames)

    def receive(self) -> None:
        transport, dispatch = self._wire.transport, self._wire.on_inbound_frame
        transport.sock.settimeout(0)
        while True:
            try:
                frame = transport.read_frame()
            except TimeoutError:
                break  # all of it is read, or all but the end of a frame
            dispatch(frame)
        transport.sock.settimeout(IO_TIMEOUT)

    def heartbeat(self) -> None:
        self._transport.heartbeat_check(self._wire)

    def close(self) -> None:
        with self._read.within(CLOSE_TIMEOUT):
            self._transport.close_connection(self._wire)

    def drop(self) -> None:
        if self._wire is not None:
            if self._wire.connected:
                # The end of a TLS session would wait for the other side.
                self._wire.sock.settimeout(0)
            self._wire.collect()

    def _on_message(self, message: Any) -> None:
        properties = message.properties
        self._events.on_reply(
            properties.get("correlation_id"),
            message.body,
            properties.get("application_headers", {}),
        )

    def _on_return(
        self, _error: Exception, _exchange: str, _routing_key: str, message: Any
    ) -> None:
        self._events.on_return(message.properties["correlation_id"])


def _connection(settings: RabbitMQSettings) -> Connection:
    tls = {
        "server_hostname": settings.host,
        "cert_reqs": ssl.CERT_REQUIRED,
        "ca_certs": settings.ssl_ca_file,  # the system's if None
    }
    return Connection(
        hostname=settings.host,
        port=settings.port,
        userid=settings.user,
        password=settings.password.get_secret_value(),
        virtual_host=settings.vhost,
        transport="pyamqp",
        ssl=tls if settings.ssl else False,
        heartbeat=settings.heartbeat_seconds,
        connect_timeout=CONNECT_TIMEOUT,
        transport_options={
            "client_properties": {
                "connection_name": f"rpc@{socket.gethostname()}:{os.getpid()}"
            },
            # py-amqp's own is one second: a short loss of packets would end it.
            "socket_settings": {
                socket.TCP_USER_TIMEOUT: 2000 * settings.heartbeat_seconds
            },
        },
    )
