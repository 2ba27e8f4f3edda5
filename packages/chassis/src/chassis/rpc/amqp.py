"""The connection to RabbitMQ, over kombu and py-amqp."""

import socket
import ssl
from collections.abc import Callable, Collection
from contextlib import AbstractContextManager, suppress
from functools import partial
from typing import Any

import amqp
from kombu import Connection
from kombu.utils.url import parse_url

from chassis.rpc.connection import (
    CLOSE_TIMEOUT,
    CONNECT_TIMEOUT,
    IO_TIMEOUT,
    BrokerConnection,
    Delivery,
    OnDelivery,
)
from chassis.rpc.transport import ReadAheadTransport
from chassis.settings import RabbitMQSettings


class AmqpConnection(BrokerConnection):
    """Polls one socket."""

    system = "rabbitmq"
    is_reliable = True

    def __init__(self, settings: RabbitMQSettings, url: str | None, name: str) -> None:
        super().__init__(_connection(settings, url, name))
        self._credentials = (
            "RPC_BROKER_URL" if url else "RABBITMQ_USER, RABBITMQ_PASSWORD"
        )
        self._vhost = "RPC_BROKER_URL" if url else "RABBITMQ_VHOST"

    def advice(self, error: BaseException) -> str | None:
        user, vhost = self._kombu.userid, self._kombu.virtual_host
        if isinstance(error, amqp.AccessRefused) and "Login was refused" in str(error):
            return f"user {user} or its password is wrong: check {self._credentials}"
        if isinstance(error, amqp.AccessRefused):
            return f"user {user} lacks permissions on the virtual host {vhost}"
        if isinstance(error, amqp.NotAllowed):
            return (
                f"no virtual host {vhost}, or not for user {user}: check {self._vhost}"
            )
        return None

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

    def close(self) -> None:
        try:
            with self.within(CLOSE_TIMEOUT):
                self._transport.close_connection(self._driver)
        finally:
            self.drop()

    def drop(self) -> None:
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


def _connection(settings: RabbitMQSettings, url: str | None, name: str) -> Connection:
    """``url``, a kombu URL, replaces host and user of the settings."""
    given: dict[str, Any] = {
        "hostname": settings.host,
        "port": settings.port,
        "userid": settings.user,
        "password": settings.password.get_secret_value(),
        "virtual_host": settings.vhost,
    }
    with_tls, host = settings.ssl, settings.host
    if url:
        parsed = parse_url(url)
        with_tls, host = parsed["transport"] == "amqps", parsed["hostname"]
        given = {
            "hostname": host,
            "port": parsed["port"] or None,
            "userid": parsed["userid"],
            "password": parsed["password"],
            "virtual_host": parsed["virtual_host"] or "/",
        }
    tls = {
        "server_hostname": host,
        "cert_reqs": ssl.CERT_REQUIRED,
        "ca_certs": settings.ssl_ca_file,  # the system's CAs if None
    }
    return Connection(
        **given,
        transport=ReadAheadTransport,
        ssl=tls if with_tls else False,
        heartbeat=settings.heartbeat_seconds,
        connect_timeout=CONNECT_TIMEOUT,
        transport_options={
            "client_properties": {"connection_name": name},
            "socket_settings": patience(settings.heartbeat_seconds),
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
