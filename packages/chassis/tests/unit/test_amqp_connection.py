"""What a connection to RabbitMQ does with frames, without a broker."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from chassis.rabbitmq import rabbitmq_server
from chassis.rpc import amqp as module
from chassis.rpc.amqp import AmqpConnection
from chassis.rpc.brokers import new_connection
from chassis.rpc.connection import CLOSE_TIMEOUT, IO_TIMEOUT, Delivery
from chassis.rpc.probe import Probe
from chassis.settings import RabbitMQSettings, RpcSettings


class Driver:
    """kombu's connection and transport, and py-amqp's connection, transport and
    channel, in one."""

    connection_errors = channel_errors = ()
    hostname = "a"

    def __init__(self) -> None:
        self.sock, self.far = socket.socketpair()
        self.transport = self.channel = self
        self.connected = True
        self.client_properties = {"capabilities": {"connection.blocked": True}}
        self.frames: list[int] = []
        self.dispatched: list[int] = []
        self.told: list[Any] = []
        self.limits: list[float] = []
        self.limit: float | None = None
        self.fails: Exception | None = None

    def establish_connection(self) -> "Driver":
        return self

    def create_channel(self, driver: object) -> "Driver":
        assert driver is self and self.limit == IO_TIMEOUT
        return self

    @contextmanager
    def within(self, seconds: float) -> Iterator[None]:
        self.limit = seconds
        yield
        self.limit = None

    @contextmanager
    def one_write(self) -> Iterator[None]:
        self.told.append("begin")
        yield
        self.told.append("write")

    def read_frame(self) -> int:
        assert self.sock.gettimeout() == 0  # it never waits
        if not self.frames:
            raise TimeoutError
        return self.frames.pop(0)

    def on_inbound_frame(self, frame: int) -> None:
        self.dispatched.append(frame)

    def heartbeat_check(self, driver: Any) -> None:
        assert driver is self
        self.told.append("heartbeat")

    def close_connection(self, driver: Any) -> None:
        assert driver is self and self.limit == CLOSE_TIMEOUT
        self.told.append("close")
        if self.fails:
            raise self.fails

    def collect(self) -> None:
        assert self.sock.gettimeout() == 0
        self.told.append("collect")
        if self.fails:
            raise self.fails

    def basic_consume(self, **options: Any) -> None:
        self.on_message = options.pop("callback")
        self.told.append(options)

    def basic_cancel(self, tag: str, *, nowait: bool) -> None:
        self.told.append((tag, nowait))

    def prepare_message(self, body: bytes, **options: Any) -> Any:
        return body, options

    def basic_publish(self, message: Any, **place: Any) -> None:
        self.told.append((*message, place))


class Message:
    def __init__(self, body: Any, properties: dict[str, Any], tag: int) -> None:
        self.body, self.properties, self.delivery_tag = body, properties, tag


@pytest.fixture
def driver() -> Iterator[Driver]:
    driver = Driver()
    yield driver
    driver.sock.close()
    driver.far.close()


@pytest.fixture
def connection(driver: Driver, monkeypatch: pytest.MonkeyPatch) -> AmqpConnection:
    monkeypatch.setattr(module, "Connection", lambda **_: driver)
    found = new_connection(RabbitMQSettings(), RpcSettings(), "test")
    assert isinstance(found, AmqpConnection)
    return found


@pytest.fixture
def opened(connection: AmqpConnection) -> AmqpConnection:
    connection.open(lambda channel: None)
    return connection


def test_what_came_with_the_answers_is_dispatched_at_once(
    connection: AmqpConnection, driver: Driver
) -> None:
    """The socket is empty by then: no poll would find it."""

    def set_up(channel: Any) -> None:
        assert channel is driver and not vars(driver)["auto_decode"]
        assert driver.limit == IO_TIMEOUT
        driver.frames += [1, 2]

    connection.open(set_up)
    assert driver.dispatched == [1, 2]
    assert connection.descriptors == (driver.sock.fileno(),)


def test_it_reads_all_there_is_or_enough(
    opened: AmqpConnection, driver: Driver
) -> None:
    driver.frames = [1, 2, 3, 4]
    opened.receive(lambda: len(driver.dispatched) == 3)
    assert driver.dispatched == [1, 2, 3]
    assert driver.sock.gettimeout() == IO_TIMEOUT  # for what is written next
    opened.receive()
    assert driver.dispatched == [1, 2, 3, 4]
    assert driver.sock.gettimeout() == IO_TIMEOUT


@pytest.mark.promise("docs/RPC.md", "RabbitMQ is short of memory or disk")
def test_the_broker_says_when_it_accepts_no_messages(
    opened: AmqpConnection, driver: Any
) -> None:
    assert opened.blocked is None
    driver.on_blocked("low on memory")
    said: Any = opened.blocked
    driver.on_unblocked()
    assert (said, opened.blocked) == ("low on memory", None)
    # Else py-amqp reads before each publish, to look for these notices.
    assert driver.client_properties["capabilities"]["connection.blocked"] is False


def test_a_message_may_have_neither_body_nor_headers(
    opened: AmqpConnection, driver: Driver
) -> None:
    found: list[Delivery] = []
    opened.consume("work", found.append, tag="t", no_ack=True)
    assert driver.told == [{"queue": "work", "no_ack": True, "consumer_tag": "t"}]
    properties = {"application_headers": {"x-task-id": "1"}, "reply_to": "r"}
    driver.on_message(Message(b"{}", properties, 7))
    driver.on_message(Message(None, {}, 8))
    full, empty = found
    assert (full.body, full.headers, full.tag) == (b"{}", {"x-task-id": "1"}, 7)
    assert full.properties == properties
    assert (empty.body, empty.headers, empty.tag) == (b"", {}, 8)
    opened.consume("work", found.append, tag="t")
    assert driver.told[-1]["no_ack"] is False


def test_a_stop_does_not_wait_for_the_broker(
    opened: AmqpConnection, driver: Driver
) -> None:
    opened.cancel("t")
    assert driver.told == [("t", True)]


@pytest.mark.promise(
    "docs/RPC.md",
    "Published to the default exchange with the queue's name as routing key, "
    "`mandatory`.",
)
@pytest.mark.parametrize("mandatory", [True, False])
def test_what_is_sent_is_json_that_nobody_stores(
    opened: AmqpConnection, driver: Driver, mandatory: bool
) -> None:
    more = {"mandatory": True} if mandatory else {}
    opened.publish("work", b"{}", {"x-task-id": "1"}, **more, reply_to="r")
    ((body, message, place),) = driver.told
    assert (body, message) == (
        b"{}",
        {
            "content_type": "application/json",
            "content_encoding": "utf-8",
            "headers": {"x-task-id": "1"},
            "properties": {"reply_to": "r", "delivery_mode": 1},
        },
    )
    assert place == {"exchange": "", "routing_key": "work", "mandatory": mandatory}


def test_it_writes_once_and_checks_heartbeats(
    opened: AmqpConnection, driver: Driver
) -> None:
    with opened.one_write():
        driver.told.append("inside")
    opened.heartbeat()
    assert driver.told == ["begin", "inside", "write", "heartbeat"]


class Refusal:
    """A probe that was refused, or not."""

    def __init__(self, driver: Driver) -> None:
        self.driver, self.asked, self.refused, self.ended = driver, 0, False, False

    def is_refused(self, sock: socket.socket) -> bool:
        assert sock is self.driver.sock
        self.asked += 1
        return self.refused

    def close(self) -> None:
        self.ended = True


@pytest.mark.promise(
    "docs/RPC.md",
    "With several nodes, each connection asks about once a second whether its node "
    "still accepts others.",
)
def test_a_node_that_is_about_to_stop_is_left_for_another_one(
    driver: Driver, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", module.__name__)
    others: list[Any] = []
    is_there = [False, True]

    def is_any_open(hosts: Any) -> bool:
        others.append(hosts)
        return is_there.pop(0)

    probe = Refusal(driver)
    monkeypatch.setattr(module, "Connection", lambda **_: driver)
    monkeypatch.setattr(module, "Probe", lambda: probe)
    monkeypatch.setattr(module, "is_any_open", is_any_open)
    server = rabbitmq_server(RabbitMQSettings(host="a,b:5673,c"))
    assert server is not None
    found = AmqpConnection(server, server.hosts[0], "test")
    assert found.nodes == 3
    found.open(lambda channel: None)
    found.heartbeat()
    assert (probe.asked, others) == (1, [])
    probe.refused = True
    found.heartbeat()
    states = [found.is_leaving]  # there is no other node
    found.heartbeat()
    found.heartbeat()
    assert [*states, found.is_leaving] == [False, True]
    assert len(caplog.messages) == 1
    assert others == [[("b", 5673), ("c", 5672)]] * 2
    found.drop()
    assert probe.ended


def test_the_only_node_is_not_asked(
    opened: AmqpConnection, driver: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []
    monkeypatch.setattr(Probe, "is_refused", lambda *each: asked.append(each))
    opened.heartbeat()
    assert not asked and not opened.is_leaving and driver.told == ["heartbeat"]


def test_closing_leaves_nothing_open(opened: AmqpConnection, driver: Driver) -> None:
    """Nor does the close of a connection that is broken."""
    opened.close()
    driver.fails = ConnectionResetError("lost")
    with pytest.raises(ConnectionResetError):
        opened.close()
    assert driver.told == ["close", "collect"] * 2


def test_dropping_never_fails(connection: AmqpConnection, driver: Driver) -> None:
    connection.drop()  # it was never opened
    connection.open(lambda channel: None)
    driver.fails = OSError("broken")
    connection.drop()
    assert driver.told == ["collect"]


def test_a_broken_channel_is_no_bug_of_ours(
    connection: AmqpConnection, driver: Driver
) -> None:
    driver.connection_errors = (LookupError,)  # type: ignore[assignment]
    driver.channel_errors = (ArithmeticError,)  # type: ignore[assignment]
    assert set(connection.errors) == {LookupError, ArithmeticError, OSError}
