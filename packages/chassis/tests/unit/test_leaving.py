"""What the owners of connections do when their node is about to stop."""

import time
from collections.abc import Iterator
from typing import Any

import pytest

from chassis.errors import BrokerUnavailable, OutcomeUnknown
from chassis.rpc import client as client_module
from chassis.rpc import loop as loop_module
from tests.unit.broker import FakeConnection
from tests.unit.callers import Bench
from tests.unit.test_listener import Bench as ListenerBench
from tests.unit.test_loop import World
from tests.unit.test_publisher import Bench as PublisherBench
from tests.unit.test_publisher import confirm


@pytest.fixture
def world() -> Iterator[World]:
    world = World(grace_seconds=3)
    yield world
    world.end()


def reconnected(bench: Bench) -> FakeConnection:
    bench.wait(lambda: bench.connections[1].confirms and bench.client.connected)
    return bench.connections[1]


@pytest.mark.promise(
    "docs/RPC.md",
    "New calls wait for the next connection, and those that were sent have a second "
    "to be answered.",
)
def test_sent_calls_are_answered_before_the_node_is_left(bench: Bench) -> None:
    first, second = bench.connections[:2]
    calls = [bench.sent(first) for _ in range(3)]
    first.leave()
    bench.wait(lambda: not bench.client.connected)
    with pytest.raises(BrokerUnavailable):  # its caller waits
        bench.submit()
    assert 0 < bench.client.reconnect_wait <= client_module.RECONNECT_WAIT
    for call in calls:
        assert not second.confirms and not first.closed
        first.answer(call)
        assert bench.error(call) is None and call.reply
    assert reconnected(bench) is second
    assert (first.closed, len(first.sent)) == (1, 3)
    later = bench.sent(second)
    second.answer(later)
    assert bench.error(later) is None and second.sent == [later.id]


def test_a_call_that_was_handed_over_before_is_sent_first(bench: Bench) -> None:
    first = bench.connections[0]
    found: list[Any] = []

    def act() -> None:
        found.append(bench.submit())
        first.is_leaving = True

    first.happen(act)
    bench.wait(lambda: first.sent == [found[0].id])
    first.answer(found[0])
    assert bench.error(found[0]) is None
    reconnected(bench)


@pytest.mark.promise(
    "docs/RPC.md", "the node of the connection stops, and the answer takes longer"
)
def test_a_slow_call_does_not_hold_up_the_others(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client_module, "LEAVE_SECONDS", 0.3)
    first = bench.connections[0]
    slow, fast = bench.sent(first), bench.sent(first)
    began = time.monotonic()
    first.leave()
    first.answer(fast)
    reconnected(bench)
    assert 0.3 <= time.monotonic() - began < 2
    assert bench.error(fast) is None
    assert isinstance(bench.error(slow), OutcomeUnknown)


def test_deadlines_end_calls_meanwhile(bench: Bench) -> None:
    first = bench.connections[0]
    call = bench.submit(timeout=0.2)
    bench.wait(lambda: call.id in first.sent)
    first.leave()
    assert type(bench.error(call)).__name__ == "DeadlineExceeded"
    reconnected(bench)


def test_a_client_that_closes_meanwhile_waits_for_nothing(bench: Bench) -> None:
    first = bench.connections[0]
    call = bench.sent(first)
    first.leave()
    bench.wait(lambda: not bench.client.connected)
    began = time.monotonic()
    bench.client.close()
    assert time.monotonic() - began < 2 and bench.client.reconnect_wait == 0
    assert isinstance(bench.error(call), OutcomeUnknown)


def test_a_service_answers_what_runs_and_returns_the_rest(world: World) -> None:
    world.start(1, 2, 3, 4)
    for _ in range(2):
        assert world.began.acquire(timeout=10)
    world.is_leaving = True
    world.wait(lambda: "REQUEUE 4" in world.log)
    assert world.log == ["open", "cancel", "REQUEUE 3", "REQUEUE 4"]
    world.gate.set()
    world.wait(lambda: world.log.count("open") == 2)
    assert sorted(world.log[4:6]) == ["ACK 1", "ACK 2"]
    assert world.log[6:] == ["close", "open"]
    # No probe takes it for a service without a connection.
    assert [each for each, _ in world.connected] == [False, True, True]
    world.inbox = [5]
    world.failure = ConnectionResetError("gone")
    world.wait(lambda: "ACK 5" in world.log)  # it refuses no more


def test_a_slow_handler_does_not_hold_up_its_service(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop_module, "LEAVE_SECONDS", 0.1)
    world.start(1)
    assert world.began.acquire(timeout=10)
    began = time.monotonic()
    world.is_leaving = True
    world.wait(lambda: world.log.count("open") == 2)
    assert time.monotonic() - began < 2.5
    assert world.log == ["open", "cancel", "close", "open"]
    world.gate.set()
    world.wait(lambda: world.log[-1] == "ACK 1 of an old one")


def test_a_stop_meanwhile_gives_handlers_their_grace(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop_module, "LEAVE_SECONDS", 0.4)
    world.start(1)
    assert world.began.acquire(timeout=10)
    world.is_leaving = True
    world.wait(lambda: "cancel" in world.log)
    assert 2.5 < world.stop() < 5
    assert world.log == ["open", "cancel", "close"]
    assert [each for each, _ in world.connected] == [False, True, False]


def test_a_listener_listens_to_the_next_node(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = ListenerBench(monkeypatch)
    bench.connections[0].leave()
    bench.wait(lambda: bench.connections[1].consumed)
    assert (bench.connections[0].closed, bench.connections[1].closed) == (1, 0)
    bench.stop()


def test_a_publisher_leaves_when_all_is_confirmed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bench = PublisherBench(monkeypatch)
    first, second = bench.connections[:2]

    def leave_then_confirm(broker: FakeConnection) -> None:
        broker.is_leaving = True
        confirm("ack", 1)(broker)

    bench.publish("a", answer=leave_then_confirm)
    assert not first.closed
    bench.publish("b", answer=confirm("ack", 1), connection=1)
    assert (first.closed, first.sent) == (1, ["a"])
    bench.publisher.open()
    assert (second.closed, second.sent) == (0, ["b"])
    bench.publisher.close()
