"""One connection to RabbitMQ, in situations that callers and services cannot
provoke."""

import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import amqp
import pytest

from chassis.errors import BrokerUnavailable
from chassis.rpc.brokers import new_connection
from chassis.rpc.client import RpcClient
from chassis.rpc.connection import BrokerConnection, Delivery
from chassis.rpc.producers import EventProducer
from chassis.settings import RabbitMQSettings, RpcSettings
from local.servers.rabbitmq import RabbitMQ, find_script
from tests.integration.proxy import Proxy
from tests.integration.responder import Responder
from tests.integration.waiting import wait_until

Connect = Callable[..., BrokerConnection]


class Inbox:
    """Consumes its own exclusive queue."""

    queue = ""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []

    def set_up(self, connection: BrokerConnection, channel: Any) -> None:
        self.queue = channel.queue_declare("", exclusive=True)[0]
        connection.consume(self.queue, self._arrived, tag="inbox", no_ack=True)

    def _arrived(self, delivery: Delivery) -> None:
        self.bodies.append(delivery.body)


@pytest.fixture
def inbox() -> Inbox:
    return Inbox()


@pytest.fixture
def connect(rabbitmq_settings: RabbitMQSettings, inbox: Inbox) -> Iterator[Connect]:
    opened = []

    def connect(**settings: Any) -> BrokerConnection:
        rabbitmq = rabbitmq_settings.model_copy(update=settings)
        connection = new_connection(rabbitmq, RpcSettings(), "test")
        opened.append(connection)
        connection.open(lambda channel: inbox.set_up(connection, channel))
        return connection

    yield connect
    for connection in opened:
        connection.drop()


def receive(connection: BrokerConnection, until: Callable[[], bool]) -> None:
    def received() -> bool:
        connection.receive()
        return until()

    wait_until(received, "it has arrived", within=10)


def test_a_channel_closed_by_the_broker_is_a_loss(connect: Connect) -> None:
    """This happens when a handler outlasts the broker's `consumer_timeout`."""
    connection = connect()
    connection.channel.basic_ack(999)
    began = time.monotonic()
    with pytest.raises(amqp.ChannelError, match="unknown delivery tag 999"):
        receive(connection, lambda: False)
    assert time.monotonic() - began < 2
    connection.drop()
    connection.drop()  # harmless


@pytest.mark.promise(
    "docs/adr/0003-one-io-thread.md", "Concurrent calls leave in one write"
)
def test_messages_of_one_turn_are_one_write(
    connect: Connect, inbox: Inbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []

    class Counted(socket.socket):
        def sendall(self, data: Any, *flags: int) -> None:
            sizes.append(len(data))
            super().sendall(data, *flags)

    monkeypatch.setattr(socket, "socket", Counted)
    connection = connect()
    monkeypatch.undo()
    bodies = [b"%d" % number for number in range(50)] + [b"x" * 300_000]
    sizes.clear()
    with connection.one_write():
        for body in bodies:
            connection.publish(inbox.queue, body, {"n": 1})
    assert len(sizes) == 1
    assert sizes[0] > 300_000
    receive(connection, lambda: len(inbox.bodies) == len(bodies))
    assert inbox.bodies == bodies


@pytest.mark.parametrize("with_tls", [False, True])
def test_messages_may_come_byte_by_byte(
    connect: Connect,
    inbox: Inbox,
    proxy: Proxy,
    tls_proxy: Proxy,
    certificate: Path,
    with_tls: bool,
) -> None:
    tls: dict[str, Any] = {"host": "localhost", "ssl": True}
    tls["ssl_ca_file"] = str(certificate)
    through = tls_proxy if with_tls else proxy
    connection = connect(port=through.port, **(tls if with_tls else {}))
    through.trickle = True
    bodies = [b"one", b"two", b"three" * 20]
    for body in bodies:
        connection.publish(inbox.queue, body, {})
    receive(connection, lambda: len(inbox.bodies) == len(bodies))
    through.trickle = False
    assert inbox.bodies == bodies


def test_waiting_for_the_broker_is_bounded(connect: Connect, proxy: Proxy) -> None:
    connection = connect(port=proxy.port)
    proxy.stall(spill=3)  # less than a frame
    began = time.monotonic()
    with pytest.raises(TimeoutError), connection.within(0.5):
        connection.channel.queue_declare("", exclusive=True)
    assert 0.5 <= time.monotonic() - began < 5


def test_closing_with_a_hanging_broker_is_quick(connect: Connect, proxy: Proxy) -> None:
    connection = connect(port=proxy.port)
    proxy.stall(spill=0)
    began = time.monotonic()
    with pytest.raises(TimeoutError):
        connection.close()
    assert time.monotonic() - began < 2


@contextmanager
def short_of_memory(rabbitmq: RabbitMQ) -> Iterator[None]:
    script = find_script()
    assert script
    command = rabbitmq.command()

    def control(*arguments: str) -> None:
        program = Path(script).with_name("rabbitmqctl")
        line = [str(program), "-n", "kit@localhost", *arguments]
        subprocess.run(
            line, cwd=command.cwd, env=command.env, check=True, capture_output=True
        )

    control("set_vm_memory_high_watermark", "0.000001")
    try:
        yield
    finally:
        control("set_vm_memory_high_watermark", "0.6")


def test_calls_fail_at_once_when_the_broker_accepts_no_messages(
    client: RpcClient, responder: Responder, rabbitmq: RabbitMQ
) -> None:
    producer = EventProducer(client, timeout=2)
    producer.call(responder.queue, {})
    with short_of_memory(rabbitmq):

        def refused() -> bool:
            """The first call may be the one that makes the broker block the
            connection."""
            try:
                producer.call(responder.queue, {}, timeout=0.5)
            except BrokerUnavailable as error:
                return "RabbitMQ accepts no messages" in error.detail
            except Exception:
                return False
            return False

        wait_until(refused, "calls are refused")
        waits = []
        for _ in range(3):
            began = time.monotonic()
            with pytest.raises(BrokerUnavailable):
                producer.call(responder.queue, {})
            waits.append(time.monotonic() - began)
        assert min(waits) < 0.1  # this machine may be busy at times
        assert client.connected
    wait_until(
        lambda: producer.call(responder.queue, {"n": 1}).outcome == {"n": 1}, "again"
    )
