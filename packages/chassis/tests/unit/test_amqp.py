"""What a connection to RabbitMQ asks of kombu and of the kernel."""

import socket
from contextlib import suppress
from typing import Any

import pytest
from kombu import Connection
from pydantic import SecretStr

from chassis.rpc.brokers import new_connection
from chassis.settings import RabbitMQSettings, RpcSettings


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
