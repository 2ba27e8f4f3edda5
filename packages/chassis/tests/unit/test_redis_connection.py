"""Calls over kombu's other transports, as over Redis, without a server."""

import time
from collections.abc import Iterator
from itertools import count
from typing import Any, cast

import pytest
from kombu import Connection
from kombu.transport import memory

from chassis.rpc.brokers import new_connection
from chassis.rpc.connection import Delivery
from chassis.rpc.redis import RedisConnection
from chassis.settings import RabbitMQSettings, RpcSettings

#: Seconds that Redis' clock is ahead of ours.
AHEAD = 3600
_names = count()


class Channel(memory.Channel):
    """Has a clock, and takes back what nobody settled, as that of Redis does."""

    do_restore = True

    @property
    def client(self) -> "Channel":
        return self

    def time(self) -> tuple[int, int]:
        seconds = time.time() + AHEAD
        return int(seconds) - 1, int(seconds % 1 * 1e6) + 1_000_000


class Transport(memory.Transport):
    Channel = Channel


@pytest.fixture
def connection(monkeypatch: pytest.MonkeyPatch) -> Iterator[RedisConnection]:
    monkeypatch.setattr(
        "chassis.rpc.redis.Connection", lambda *_, **__: Connection(transport=Transport)
    )
    rpc = RpcSettings.model_validate({"broker_url": "redis://h"})
    found = cast(RedisConnection, new_connection(RabbitMQSettings(), rpc, "test"))
    yield found
    found.drop()


@pytest.fixture
def queue(connection: RedisConnection) -> str:
    """A new queue, of the open connection."""
    name = f"queue-{next(_names)}"
    connection.open(lambda channel: channel.queue_declare(name))
    return name


def test_messages_arrive_as_they_were_sent(
    connection: RedisConnection, queue: str
) -> None:
    found: list[Delivery] = []
    connection.consume(queue, found.append, tag="t")
    connection.publish(queue, b'{"a": "\xc3\xa4"}', {"x": 1}, correlation_id="c")
    connection.receive()
    (delivery,) = found
    assert (delivery.body, delivery.headers) == (b'{"a": "\xc3\xa4"}', {"x": 1})
    assert delivery.properties["correlation_id"] == "c"
    connection.channel.basic_ack(delivery.tag)
    connection.close()
    connection.open(lambda channel: None)
    message_count = connection.channel.queue_declare(queue, passive=True).message_count
    assert message_count == 0  # it is settled


def test_it_reads_all_there_is_or_enough(
    connection: RedisConnection, queue: str
) -> None:
    found: list[Delivery] = []
    connection.consume(queue, found.append, tag="t", no_ack=True)
    for _ in range(4):
        connection.publish(queue, b"1", {})
    connection.receive(lambda: len(found) == 2)
    assert len(found) == 2
    connection.heartbeat()
    assert len(found) == 4


def test_what_is_not_acknowledged_returns(
    connection: RedisConnection, queue: str
) -> None:
    def ready() -> Any:
        return connection.channel.queue_declare(queue, passive=True).message_count

    connection.consume(queue, lambda delivery: None, tag="t", no_ack=True)
    connection.publish(queue, b"1", {})
    connection.receive()
    connection.cancel("t")
    assert ready() == 0
    connection.consume(queue, lambda delivery: None, tag="t")
    connection.publish(queue, b"2", {})
    connection.receive()
    connection.cancel("t")
    assert ready() == 0
    connection.publish(queue, b"3", {})
    connection.receive()
    assert ready() == 1  # nobody consumes it any more
    connection.close()
    connection.open(lambda channel: None)
    assert ready() == 2


def test_time_is_that_of_redis(connection: RedisConnection, queue: str) -> None:
    """Callers and services may be on machines whose clocks differ."""
    assert connection.now() == pytest.approx(time.time() + AHEAD, abs=0.25)


def test_dropping_never_fails(
    connection: RedisConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    def note(_: object, each: object) -> None:
        closed.append(each)
        raise OSError("broken")

    connection.drop()  # it was never opened
    connection.open(lambda channel: None)
    closed: list[object] = []
    with monkeypatch.context() as patch:
        patch.setattr(Transport, "close_connection", note)
        connection.drop()
        assert closed and all(closed)


def test_a_wrong_password_is_explained(connection: RedisConnection) -> None:
    refused = type("AuthenticationError", (Exception,), {})("no")
    advice = connection.advice(refused)
    assert advice and advice.endswith("check RPC_BROKER_URL")
    assert connection.advice(ConnectionRefusedError("no")) is None
