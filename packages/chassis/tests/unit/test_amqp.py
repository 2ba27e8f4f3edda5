"""What a connection to RabbitMQ asks of kombu and of the kernel."""

import socket
import ssl
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from amqp import AccessRefused
from amqp.transport import SSLTransport, TCPTransport
from kombu import Connection
from kombu.transport import pyamqp
from pydantic import SecretStr

from chassis.rabbitmq import rabbitmq_server
from chassis.rpc.amqp import tls_options
from chassis.rpc.brokers import new_connection
from chassis.rpc.transport import ReadAhead, ReadAheadTransport
from chassis.settings import RabbitMQSettings, RpcSettings
from local.certificates import ensure


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """kombu's options for these settings."""
    asked: dict[str, Any] = {}

    def connect(**options: Any) -> Any:
        asked.update(options)
        return Connection(**options)

    monkeypatch.setattr("chassis.rpc.amqp.Connection", connect)
    settings = RabbitMQSettings(host="broker", ssl=True, heartbeat_seconds=7)
    new_connection(settings, RpcSettings(), "test")
    return asked


def test_waiting_has_limits(asked: dict[str, Any]) -> None:
    """Heartbeats find a broker that is silent; the kernel waits as long for packets."""
    assert asked["heartbeat"] == 7 and 0 < asked["connect_timeout"] <= 5
    patience = asked["transport_options"]["socket_settings"]
    assert patience == {socket.TCP_USER_TIMEOUT: 14_000}


def test_rabbitmq_shows_who_is_connected(asked: dict[str, Any]) -> None:
    name = asked["transport_options"]["client_properties"]["connection_name"]
    assert name.startswith("test@")


def test_a_certificate_may_be_the_login(monkeypatch: pytest.MonkeyPatch) -> None:
    url = SecretStr("amqps://broker/?auth_mechanism=external")
    asked: dict[str, Any] = {}
    monkeypatch.setattr("chassis.rpc.amqp.Connection", lambda **o: asked.update(o))
    with suppress(AttributeError):  # it is no connection
        new_connection(RabbitMQSettings(), RpcSettings(broker_url=url), "test")
    assert asked["login_method"] == "EXTERNAL"


@pytest.mark.promise("docs/adr/0003-one-io-thread.md", "Heartbeats are on time")
def test_heartbeats_are_on(asked: dict[str, Any]) -> None:
    assert asked["heartbeat"] and asked["ssl"]["server_hostname"] == "broker"


def test_who_logs_in_where(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: dict[str, Any] = {}

    def connect(**options: Any) -> Any:
        asked.update(options)
        return Connection(**options)

    monkeypatch.setattr("chassis.rpc.amqp.Connection", connect)
    settings = RabbitMQSettings(
        host="::1", port=7, user="u", password=SecretStr("sesame"), vhost="shop"
    )
    new_connection(settings, RpcSettings(), "test")
    expected = {
        "hostname": "[::1]",
        "port": 7,
        "userid": "u",
        "password": "sesame",
        "virtual_host": "shop",
        "login_method": "PLAIN",
        "ssl": False,
        "transport": ReadAheadTransport,
    }
    assert {name: asked[name] for name in expected} == expected


@pytest.mark.parametrize("word", ["verify_peer", "verify_none"])
def test_who_is_verified_with_which_files(word: str, tmp_path: Path) -> None:
    ensure(tmp_path, lambda _: None)
    files = {
        "cacertfile": f"{tmp_path}/ca.crt",
        "certfile": f"{tmp_path}/redis.crt",
        "keyfile": f"{tmp_path}/redis.key",
    }
    query = urlencode({"verify": word, **files})
    rpc = RpcSettings(broker_url=SecretStr(f"amqps://h?{query}"))
    server = rabbitmq_server(RabbitMQSettings(), rpc)
    assert server
    tls = tls_options(server, "h")
    verifies = word == "verify_peer"
    assert tls == {
        "cert_reqs": ssl.CERT_REQUIRED if verifies else ssl.CERT_NONE,
        "ca_certs": files["cacertfile"],
        "certfile": files["certfile"],
        "keyfile": files["keyfile"],
        **({"server_hostname": "h"} if verifies else {}),
    }


def test_an_error_is_explained() -> None:
    connection = new_connection(RabbitMQSettings(user="u"), RpcSettings(), "test")
    advice = connection.advice(AccessRefused("Login was refused"))
    assert advice and advice.startswith("user u or its password is wrong")
    assert connection.advice(ConnectionResetError()) is None


def test_frames_are_read_ahead_over_tcp() -> None:
    connection: Any = ReadAheadTransport.Connection("h:1")
    settings: Any = {socket.TCP_USER_TIMEOUT: 5}
    transport = connection.Transport("h:1", 2.5, False, 3, 4, settings)
    assert isinstance(transport, TCPTransport) and isinstance(transport, ReadAhead)
    assert (transport.host, transport.port, transport.connect_timeout) == ("h", 1, 2.5)
    assert (transport.read_timeout, transport.write_timeout) == (3, 4)
    assert transport.socket_settings == settings


def test_frames_are_read_ahead_over_tls() -> None:
    connection: Any = ReadAheadTransport.Connection("h:1")
    tls = {"server_hostname": "h"}
    transport: Any = connection.Transport("h:1", 2.5, tls)
    assert isinstance(transport, SSLTransport) and isinstance(transport, ReadAhead)
    assert transport.sslopts == tls
    plain = connection.Transport("h:1", 2.5)
    assert isinstance(plain, TCPTransport)


def test_a_channel_that_the_broker_closed_stays_closed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """py-amqp would open it again, and nothing would be consumed on it."""
    opened: list[object] = []
    monkeypatch.setattr(pyamqp.Channel, "open", lambda own: opened.append(own))
    kind = ReadAheadTransport.Connection.Channel
    channel = kind.__new__(kind)
    for _ in range(2):
        channel.open()
    assert opened == [channel]
