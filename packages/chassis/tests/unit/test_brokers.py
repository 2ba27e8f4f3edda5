"""Which broker a process talks to."""

from pathlib import Path

import pytest
from pydantic import SecretStr

from chassis.rpc.amqp import AmqpConnection
from chassis.rpc.brokers import connections, new_connection
from chassis.rpc.redis import RedisConnection
from chassis.settings import RabbitMQSettings, RpcSettings

RABBITMQ = RabbitMQSettings(host="named-by-variables", password=SecretStr("sesame"))


@pytest.mark.parametrize(
    ("url", "kind", "shown"),
    [
        (None, AmqpConnection, "rabbitmq at named-by-variables"),
        ("amqp://guest:sesame@other:1/kit", AmqpConnection, "rabbitmq at other"),
        ("amqps://guest:sesame@other", AmqpConnection, "rabbitmq at other"),
        ("redis://:sesame@other:6379/1", RedisConnection, "redis at other"),
        ("rediss://:sesame@other:6379/1", RedisConnection, "redis at other"),
    ],
)
def test_the_url_replaces_the_variables(
    url: str | None, kind: type[object], shown: str
) -> None:
    rpc = RpcSettings(broker_url=SecretStr(url) if url else None)
    connection = new_connection(RABBITMQ, rpc, "test")
    assert isinstance(connection, kind)
    assert str(connection) == shown  # without a password


def test_each_attempt_goes_to_the_next_node_with_the_password_of_now(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    opened: list[tuple[str, str]] = []

    def open_one(server: object, host: tuple[str, int], _: str) -> None:
        opened.append((host[0], getattr(server, "password")))

    monkeypatch.setattr("chassis.rpc.brokers.AmqpConnection", open_one)
    file = tmp_path / "password"
    file.write_text("old")
    monkeypatch.setenv("RABBITMQ_PASSWORD_FILE", str(file))
    attempts = connections(RabbitMQSettings(host="a,b"), RpcSettings(), "test")
    next(attempts)
    file.write_text("new")
    next(attempts)
    next(attempts)
    (first, _), (second, _), _ = opened
    assert {first, second} == {"a", "b"}
    assert opened == [(first, "old"), (second, "new"), (first, "new")]


@pytest.mark.promise("docs/RPC.md", "Each connection tries them in an order of its own")
def test_the_nodes_share_the_clients(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "chassis.rpc.brokers.AmqpConnection", lambda server, host, shown: host[0]
    )
    settings = RabbitMQSettings(host="a,b,c")
    orders = set()
    for _ in range(200):
        attempts = connections(settings, RpcSettings(), "test")
        tried = [str(next(attempts)) for _ in range(6)]
        assert {*tried[:3]} == {"a", "b", "c"} and tried[:3] == tried[3:]
        orders.add(tuple(tried[:3]))
    assert len(orders) == 6
