"""What a caller's I/O thread keeps in mind, without a broker."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from chassis.errors import (
    BrokerUnavailable,
    NoConsumer,
    OutcomeUnknown,
    QueueFull,
)
from chassis.rpc import client as module
from chassis.rpc.call import Call
from chassis.rpc.client import RpcClient
from chassis.settings import RabbitMQSettings, RpcSettings
from tests.unit.broker import WAIT, FakeConnection, replace_connections
from tests.unit.callers import Bench


@pytest.mark.promise(
    "docs/adr/0003-one-io-thread.md",
    "When the connection breaks, we know at once which calls are in doubt: all of"
    " them.",
)
@pytest.mark.promise(
    "docs/RPC.md", "When both are lost, every pending call fails immediately."
)
def test_confirms_count_anew_on_each_connection(
    bench: Bench, first: FakeConnection
) -> None:
    lost = [bench.sent(first) for _ in range(3)]
    second = bench.reconnected()
    assert all(isinstance(bench.error(call), OutcomeUnknown) for call in lost)
    refused, other = bench.sent(second), bench.sent(second)
    second.confirm("nack", 1)
    assert isinstance(bench.error(refused), QueueFull)
    second.answer(other)
    assert bench.error(other) is None and other.reply


def test_each_connection_has_a_reply_queue_of_its_own(
    bench: Bench, first: FakeConnection
) -> None:
    """The broker may keep the old one for a while, for the lost connection alone."""
    bench.sent(first)
    second = bench.reconnected()
    bench.sent(second)
    named = []
    for connection in (first, second):
        (queue,) = connection.declared
        assert queue["exclusive"] and queue["auto_delete"] and not queue["durable"]
        (consumed,) = connection.consumed
        assert consumed["queue"] == queue["queue"] and consumed["no_ack"]
        assert connection.properties[-1]["reply_to"] == queue["queue"]
        named.append(queue["queue"])
    assert len(set(named)) == 2


@pytest.mark.promise("docs/RPC.md", "the queue is full")
def test_a_confirm_may_be_for_several_calls(
    bench: Bench, first: FakeConnection
) -> None:
    calls = [bench.sent(first) for _ in range(5)]
    first.confirm("ack", 2, multiple=True)
    first.confirm("nack", 4, multiple=True)
    refused = [call for call in calls if call.error]
    assert refused == calls[2:4]
    assert all(isinstance(call.error, QueueFull) for call in refused)
    first.confirm("nack", 5)
    assert isinstance(bench.error(calls[4]), QueueFull)
    for call in calls[:2]:
        first.answer(call)
        assert bench.error(call) is None


def test_a_confirm_may_come_out_of_order(bench: Bench, first: FakeConnection) -> None:
    calls = [bench.sent(first) for _ in range(3)]
    first.confirm("ack", 2)
    first.confirm("nack", 3, multiple=True)
    assert [type(call.error) for call in calls] == [QueueFull, type(None), QueueFull]


def test_a_call_that_its_caller_gave_up_is_not_sent(
    bench: Bench, first: FakeConnection
) -> None:
    go_on = threading.Event()
    first.happen(lambda: go_on.wait(WAIT), waits=False)
    given_up, late = bench.submit(), bench.submit(timeout=0)
    bench.client.forget(given_up)
    go_on.set()
    wanted = bench.sent(first)
    assert first.sent == [wanted.id]
    assert late.id not in first.sent and bench.client.in_flight <= 2


@pytest.mark.promise("docs/RPC.md", "the caller goes away")
def test_the_reply_to_a_call_that_was_given_up_is_counted(
    bench: Bench, first: FakeConnection
) -> None:
    call = bench.sent(first)
    bench.client.forget(call)
    first.answer(call)
    assert bench.client.statistics.dropped_replies == 1
    assert bench.client.in_flight == 0 and call.reply is None


@pytest.mark.promise("docs/RPC.md", "RabbitMQ is short of memory or disk")
def test_a_broker_that_accepts_no_messages(bench: Bench, first: FakeConnection) -> None:
    accepted, unknown = bench.sent(first), bench.sent(first)
    first.confirm("ack", 1)
    first.happen(lambda: setattr(first, "blocked", "low on memory"))
    error = bench.error(unknown)
    assert isinstance(error, OutcomeUnknown) and "low on memory" in str(error)
    later = bench.submit()
    error = bench.error(later)
    assert isinstance(error, BrokerUnavailable) and "low on memory" in str(error)
    assert later.id not in first.sent
    assert "low on memory" in str(bench.client.refusal)
    first.happen(lambda: setattr(first, "blocked", None))
    first.answer(accepted)
    assert bench.error(accepted) is None
    assert bench.client.refusal is None and bench.sent(first)


def test_what_was_not_sent_is_not_sent_later(
    bench: Bench, first: FakeConnection
) -> None:
    """Its caller has heard that nothing was done."""
    go_on = threading.Event()

    def fail() -> None:
        go_on.wait(WAIT)
        raise ConnectionResetError("lost")

    first.happen(fail, waits=False)
    call = bench.submit()
    go_on.set()
    error = bench.error(call)
    assert isinstance(error, BrokerUnavailable)
    assert not isinstance(error, OutcomeUnknown)
    second = bench.connections[1]
    bench.wait(lambda: second.confirms and bench.client.connected)
    later = bench.sent(second)
    assert second.sent == [later.id]


def test_a_broker_that_stays_away_is_logged_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    tried = threading.Semaphore(0)

    def refuse(_: object) -> None:
        tried.release()
        raise ConnectionRefusedError("away")

    connections = [FakeConnection() for _ in range(9)]
    for connection in connections:
        monkeypatch.setattr(connection, "open", refuse)
    replace_connections(monkeypatch, module, connections)
    client = RpcClient(RabbitMQSettings(host="h"), RpcSettings())
    client.start()
    for _ in range(3):
        assert tried.acquire(timeout=WAIT)
    client.close(WAIT)
    assert len(caplog.records) == 1


def test_nobody_waits_for_the_next_connection_of_a_closed_client(bench: Bench) -> None:
    bench.client.close()
    assert not bench.client.connected and bench.client.reconnect_wait == 0


def test_a_call_never_waits_for_the_next_tick(
    bench: Bench, first: FakeConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The I/O thread is awake when it looks for calls, and then waits: what comes in
    between has to wake it."""
    for tick in ("EXPIRY_CHECK", "HEARTBEAT_CHECK"):
        monkeypatch.setattr(module, tick, 3 * WAIT)
    between: list[Call] = []

    @contextmanager
    def one_write() -> Iterator[None]:
        yield
        if not between:
            between.append(bench.submit())

    monkeypatch.setattr(first, "one_write", one_write)
    bench.submit()
    bench.wait(lambda: len(first.sent) == 2)


@pytest.mark.promise("docs/RPC.md", "the queue does not exist")
@pytest.mark.promise(
    "docs/RPC.md",
    "Published to the default exchange with the queue's name as routing key, "
    "`mandatory`.",
)
def test_a_queue_that_does_not_exist(bench: Bench, first: FakeConnection) -> None:
    call = bench.sent(first)
    (properties,) = first.properties
    assert properties["mandatory"] and 29_000 < int(properties["expiration"]) <= 30_000
    message = type("Message", (), {"properties": {"correlation_id": call.id}})()
    first.happen(
        lambda: [f(None, "", "work", message) for f in first.events["basic_return"]]
    )
    error = bench.error(call)
    assert isinstance(error, NoConsumer)
    assert str(error) == "The queue work does not exist: its service has never run."
