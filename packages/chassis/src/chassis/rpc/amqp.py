"""The connection to RabbitMQ, over kombu and py-amqp."""

import logging
import socket
import ssl
from collections.abc import Callable, Collection
from contextlib import AbstractContextManager, suppress
from functools import partial
from typing import Any

from kombu import Connection

from chassis.amqp_url import Host
from chassis.rabbitmq import RabbitMQServer, bracketed
from chassis.rpc.advice import broker_advice
from chassis.rpc.connection import (
    CLOSE_TIMEOUT,
    IO_TIMEOUT,
    BrokerConnection,
    Delivery,
    OnDelivery,
)
from chassis.rpc.probe import Probe, is_any_open
from chassis.rpc.transport import ReadAheadTransport

logger = logging.getLogger(__name__)


class AmqpConnection(BrokerConnection):
    """Polls one socket."""

    system = "rabbitmq"
    is_reliable = True

    def __init__(self, server: RabbitMQServer, host: Host, name: str) -> None:
        super().__init__(_connection(server, host, name))
        self._server = server
        self.nodes = len(server.hosts)
        self._others = [other for other in server.hosts if other != host]
        self._probe = Probe()

    def __str__(self) -> str:
        return f"{self.system} at {self._server}"

    def advice(self, error: BaseException) -> str | None:
        return broker_advice(self._server, error)

    @property
    def descriptors(self) -> Collection[int]:
        return (self._driver.sock.fileno(),)

    def open(self, set_up: Callable[[Any], None]) -> None:
        super().open(partial(self._set_up, set_up))

    def _set_up(self, set_up: Callable[[Any], None], channel: Any) -> None:
        # By default py-amqp reads before each publish, looking for
        # `connection.blocked`. The broker already sends us these notices.
        capabilities = self._driver.client_properties.get("capabilities", {})
        capabilities["connection.blocked"] = False
        self._driver.on_blocked = partial(setattr, self, "blocked")
        self._driver.on_unblocked = partial(setattr, self, "blocked", None)
        channel.auto_decode = False  # bodies stay bytes
        set_up(channel)

    def within(self, seconds: float) -> AbstractContextManager[None]:
        bounded: AbstractContextManager[None] = self._driver.transport.within(seconds)
        return bounded

    def one_write(self) -> AbstractContextManager[None]:
        gathered: AbstractContextManager[None] = self._driver.transport.one_write()
        return gathered

    def receive(self, is_enough: Callable[[], bool] = lambda: False) -> None:
        transport, dispatch = self._driver.transport, self._driver.on_inbound_frame
        transport.sock.settimeout(0)
        while True:
            try:
                frame = transport.read_frame()
            except TimeoutError:
                break  # everything is read, except perhaps the end of a frame
            dispatch(frame)
            if is_enough():
                break
        transport.sock.settimeout(IO_TIMEOUT)

    def heartbeat(self) -> None:
        self._transport.heartbeat_check(self._driver)
        if self._others and self._probe.is_refused(self._driver.sock):
            if not self.is_leaving and is_any_open(self._others):
                logger.info("%s stops: going to another node", self._kombu.hostname)
                self.is_leaving = True

    def close(self) -> None:
        try:
            with self.within(CLOSE_TIMEOUT):
                self._transport.close_connection(self._driver)
        finally:
            self.drop()

    def drop(self) -> None:
        self._probe.close()
        if self._driver is None:
            return
        with suppress(Exception):
            if self._driver.connected:
                # Closing a TLS session would wait for the other side.
                self._driver.sock.settimeout(0)
            self._driver.collect()

    def consume(
        self, queue: str, on_delivery: OnDelivery, *, tag: str, no_ack: bool = False
    ) -> None:
        def on_message(message: Any) -> None:
            properties = message.properties
            headers = properties.get("application_headers") or {}
            body = message.body or b""
            on_delivery(Delivery(body, headers, properties, message.delivery_tag))

        self.channel.basic_consume(
            queue=queue, no_ack=no_ack, callback=on_message, consumer_tag=tag
        )

    def cancel(self, tag: str) -> None:
        self.channel.basic_cancel(tag, nowait=True)


def tls_options(server: RabbitMQServer, hostname: str) -> dict[str, Any] | bool:
    """py-amqp's options for TLS with one of the hosts; False without TLS."""
    if not server.is_tls:
        return False
    tls: dict[str, Any] = {
        "cert_reqs": ssl.CERT_REQUIRED if server.verifies else ssl.CERT_NONE,
        "ca_certs": server.ca_file,  # the system's CAs if None
        "certfile": server.cert_file,
        "keyfile": server.key_file,
    }
    if server.verifies:  # py-amqp compares each name that it is given
        tls["server_hostname"] = server.server_name or hostname
    return tls


def _connection(server: RabbitMQServer, host: Host, name: str) -> Connection:
    hostname, port = host
    return Connection(
        hostname=bracketed(hostname),
        port=port,
        userid=server.user,
        password=server.password,
        virtual_host=server.vhost,
        login_method=server.mechanism,
        transport=ReadAheadTransport,
        ssl=tls_options(server, hostname),
        heartbeat=server.heartbeat,
        connect_timeout=server.connect_timeout,
        transport_options={
            "client_properties": {"connection_name": name},
            "socket_settings": patience(server.heartbeat),
        },
    )


def patience(heartbeat_seconds: int) -> dict[int, int]:
    """Let the kernel wait for lost packets as long as heartbeats may be late.

    py-amqp's own setting is one second, after which a short disturbance counts as a
    loss.
    """
    if not hasattr(socket, "TCP_USER_TIMEOUT"):
        return {}
    return {socket.TCP_USER_TIMEOUT: 2000 * heartbeat_seconds}
