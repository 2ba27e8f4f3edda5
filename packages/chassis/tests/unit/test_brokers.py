"""Which broker a process talks to."""

import pytest
from pydantic import SecretStr

from chassis.rpc.amqp import AmqpConnection
from chassis.rpc.brokers import new_connection
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
