"""The link to RabbitMQ, over kombu and py-amqp."""

import math
import socket
import ssl
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Any

import kombu
from kombu.utils.url import parse_url

from app.rpc.link import CLOSE_TIMEOUT, CONNECT_TIMEOUT, IO_TIMEOUT, Broker, Link
from app.rpc.message import Outcome, Request, Settlement
from app.rpc.topology import DELIVERY_LIMIT

READ_AHEAD = 16 * 1024
#: Seconds that an acknowledgement waits for others: each frame of them is an entry in
#: the quorum queue's log, flushed to disk beside the rows of the request it belongs to.
ACK_DELAY = 0.01


class ReadAhead:
    """A recv for py-amqp that takes whatever is there, not just the bytes asked for.

    py-amqp reads a message in nine small pieces and keeps what is over. It also retries
    a would-block in the middle of a frame for ever: a timeout makes it keep the part.
    """

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._deadline: float | None = None

    def __call__(self, size: int) -> bytes:
        try:
            if self._deadline is not None:
                self._sock.settimeout(max(self._deadline - time.monotonic(), 0))
            return self._sock.recv(max(size, READ_AHEAD))
        except (TimeoutError, BlockingIOError, ssl.SSLWantReadError):
            raise TimeoutError("no answer from the broker") from None

    @contextmanager
    def within(self, seconds: float) -> Iterator[None]:
        """Bounds all waiting inside; a timeout alone restarts with each heartbeat."""
        self._deadline = time.monotonic() + seconds
        try:
            yield
        finally:
            self._deadline = None


class AmqpLink(Link):
    """Polls one socket; everything sent in one turn leaves in one write."""

    delivery_limit = DELIVERY_LIMIT

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        #: Tags delivered and not settled, in the order of their delivery.
        self._unsettled: dict[int, None] = {}
        #: Tags whose acknowledgement waits for company.
        self._acked: list[int] = []
        self._read: ReadAhead

    @property
    def descriptors(self) -> Collection[int]:
        return (self._wire.sock.fileno(),)

    def receive(self) -> None:
        transport, dispatch = self._wire.transport, self._wire.on_inbound_frame
        transport.sock.settimeout(0)
        while True:
            try:
                frame = transport.read_frame()
            except TimeoutError:
                break  # all of it read, or all but the end of a frame
            dispatch(frame)
        transport.sock.settimeout(IO_TIMEOUT)

    def heartbeat(self) -> None:
        self._transport.heartbeat_check(self._wire)

    def send(self, outcomes: list[tuple[Request, Outcome]]) -> None:
        with self._one_write():
            self._publish_replies(outcomes)
            for request, outcome in outcomes:
                if request.link is not self:
                    continue
                del self._unsettled[request.tag]
                if outcome.settlement is Settlement.ACK:
                    self._acked.append(request.tag)
                else:
                    self._channel.basic_reject(
                        request.tag, requeue=outcome.settlement is Settlement.REQUEUE
                    )
            if len(self._acked) > self._prefetch // 4:
                self.flush()
        if self._acked and self.flush_at == math.inf:
            self.flush_at = time.monotonic() + ACK_DELAY

    def flush(self) -> None:
        if self._acked:
            tags, self._acked = self._acked, []
            with self._one_write():
                self._ack(tags)
        self.flush_at = math.inf

    def cancel(self) -> None:
        self._channel.basic_cancel(self._consumer_tag, nowait=True)

    def close(self) -> None:
        self._on_request = lambda request: None
        try:
            with self._read.within(CLOSE_TIMEOUT):
                self.flush()
                self._transport.close_connection(self._wire)
        finally:
            self.drop()

    def drop(self) -> None:
        if self._wire is None:
            return
        if self._wire.connected:
            # The end of a TLS session would wait for the other side.
            self._wire.sock.settimeout(0)
        self._wire.collect()

    def _ack(self, tags: list[int]) -> None:
        """Acknowledges with one frame all tags below the oldest unsettled one."""
        oldest = next(iter(self._unsettled), None)
        together = [tag for tag in tags if oldest is None or tag < oldest]
        if together:
            self._channel.basic_ack(max(together), multiple=True)
        for tag in tags:
            if oldest is not None and tag > oldest:
                self._channel.basic_ack(tag)

    @contextmanager
    def _one_write(self) -> Iterator[None]:
        """Gathers the frames written inside; nothing inside may wait for an answer."""
        transport = self._wire.transport
        write, frames = transport._write, bytearray()
        transport._write = frames.extend
        try:
            yield
        finally:
            transport._write = write
        if frames:
            transport.write(frames)

    def _on_message(self, message: Any) -> None:
        properties = message.properties
        tag = message.delivery_tag
        self._unsettled[tag] = None
        self._on_request(
            Request(
                body=message.body or b"",
                headers=properties.get("application_headers", {}),
                reply_to=properties.get("reply_to"),
                correlation_id=properties.get("correlation_id"),
                tag=tag,
                link=self,
                expiration=properties.get("expiration"),
            )
        )

    def _open_channel(self) -> None:
        sock = self._wire.sock
        self._read = self._wire.transport._quick_recv = ReadAhead(sock)
        # Otherwise each publish would look for a `connection.blocked` by reading, and
        # hand over requests in the middle of a send.
        self._wire.client_properties["capabilities"]["connection.blocked"] = False
        with self._read.within(IO_TIMEOUT):
            super()._open_channel()
        sock.settimeout(IO_TIMEOUT)
        self._channel.auto_decode = False  # bodies stay bytes
        # A channel that the broker closes would be opened again, without its consumer.
        self._channel._do_revive = lambda: None

    @staticmethod
    def _connection_to(broker: Broker) -> kombu.Connection:
        options: dict[str, Any] = {
            "heartbeat": broker.heartbeat_seconds,
            "connect_timeout": CONNECT_TIMEOUT,
            "transport_options": {
                "client_properties": {"connection_name": broker.client_name},
                "socket_settings": patience(broker.heartbeat_seconds),
            },
        }
        if broker.url:
            url = parse_url(broker.url)
            if url["transport"] == "amqps":
                options["ssl"] = {"server_hostname": url["hostname"]}
            return kombu.Connection(broker.url, **options)
        # The authorities are the system's, or those of SSL_CERT_FILE.
        options["ssl"] = {"server_hostname": broker.host} if broker.ssl else False
        return kombu.Connection(
            hostname=broker.host,
            port=broker.port,
            userid=broker.username,
            password=broker.password,
            virtual_host=broker.vhost,
            transport="pyamqp",
            **options,
        )


def patience(heartbeat_seconds: int) -> dict[int, int]:
    """Lets the kernel wait for lost packets as long as heartbeats may be late.

    py-amqp's own setting is one second, after which a short disturbance is a loss.
    """
    if not hasattr(socket, "TCP_USER_TIMEOUT"):
        return {}
    return {socket.TCP_USER_TIMEOUT: 2000 * heartbeat_seconds}
