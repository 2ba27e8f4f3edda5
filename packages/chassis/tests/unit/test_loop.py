"""The loop with a scripted intake: order of events, losses, and late results."""

import math
import os
import threading
import time
from collections.abc import Callable, Collection, Iterator
from typing import Any, cast

import pytest

from chassis.rpc.intake import Intake
from chassis.rpc.loop import ReceiverLoop
from chassis.rpc.poller import Poller
from chassis.rpc.wire import Outcome, Request
from chassis.rpc.workers import Finished, WorkerPool
from tests.unit.deliveries import make_request


class FakeIntake:
    """Intake and connection in one: delivers `inbox` when it opens; fails with
    `failure` at the next heartbeat."""

    errors = (ConnectionError,)
    flush_at = math.inf
    queue_name = "queue"
    nodes = 1

    def __init__(self, on_request: Callable[[Request], None], world: "World") -> None:
        self._on_request = on_request
        self._world = world
        self.connection = self
        self.is_full, self.is_behind = world.is_full, world.is_behind
        self.descriptors = world.descriptors

    def advice(self, error: BaseException) -> None: ...

    @property
    def is_leaving(self) -> bool:
        """The first one alone."""
        return self._world.is_leaving and self._world.log.count("open") == 1

    def open(self) -> None:
        self._world.log.append("open")
        if self._world.refusals:
            raise self._world.refusals.pop(0)
        for tag in self._world.inbox:
            self._on_request(make_request(tag=tag, intake=self))
        self._world.inbox = []

    def receive(self) -> None:
        self._world.receives += 1
        self.is_behind = self.is_behind and self._world.receives < 4

    def send(self, outcomes: list[tuple[Request, Outcome]]) -> None:
        if self._world.cannot_send:
            raise self._world.cannot_send.pop()
        for request, outcome in outcomes:
            old = "" if request.intake is self else " of an old one"
            tag = request.delivery.tag
            self._world.log.append(f"{outcome.settlement.name} {tag}{old}")
        self.flush_at = time.monotonic() + self._world.delay
        self._world.sent.set()
        if self._world.broken:
            raise self._world.broken.pop()

    def flush(self) -> None:
        self.flush_at = math.inf
        self._world.flushed.set()

    def heartbeat(self) -> None:
        if failure := self._world.failure:
            self._world.failure = None
            raise failure

    def cancel(self) -> None:
        self._world.log.append("cancel")

    def close(self) -> None:
        self._world.log.append("close")

    def drop(self) -> None:
        self._world.log.append("drop")


class World:
    """Everything around the loop, which runs in its own thread."""

    def __init__(self, grace_seconds: float = 1) -> None:
        self.log: list[str] = []
        self.inbox: list[int] = []
        self.refusals: list[Exception] = []
        self.failure: Exception | None = None
        self.cannot_send: list[Exception] = []
        self.sent = threading.Event()
        self.gate = threading.Event()
        self.began = threading.Semaphore(0)
        self.flushed = threading.Event()
        self.delay = math.inf
        self.broken: list[Exception] = []
        self.is_full = self.is_behind = self.is_leaving = False
        self.descriptors: Collection[int] = ()
        self.receives = self.ticks = 0
        self.connected: list[tuple[bool, str | None]] = []  # and what was just done
        self.reported: list[tuple[str, int]] = []
        self.poller = Poller()
        self.pool = WorkerPool(self._handle, 2, self.poller.wake)
        self.loop = ReceiverLoop(
            lambda on_request: cast(Intake, FakeIntake(on_request, self)),
            self.pool,
            self.poller,
            grace_seconds=grace_seconds,
            on_tick=self._tick,
            on_connected=self._on_connected,
            report=self._report,
        )
        self.thread = threading.Thread(target=self.loop.run)

    def _handle(self, request: Request) -> Outcome:
        self.began.release()
        self.gate.wait(10)
        return Outcome.answer("1", "kind")

    def _report(self, queue: str, handled: list[Finished]) -> None:
        self.reported += [(queue, request.delivery.tag) for request, _ in handled]

    def _on_connected(self, connected: bool) -> None:
        self.connected.append((connected, self.log[-1] if self.log else None))

    def _tick(self) -> None:
        self.ticks += 1

    def start(self, *inbox: int) -> None:
        self.inbox = list(inbox)
        self.thread.start()

    def wait(self, condition: Callable[[], bool]) -> None:
        until = time.monotonic() + 10
        while not condition():
            assert time.monotonic() < until
            time.sleep(0.001)

    def stop(self) -> float:
        """Stop the loop; returns how long that took."""
        began = time.monotonic()
        self.loop.stop()
        self.thread.join(10)
        assert not self.thread.is_alive()
        return time.monotonic() - began

    def end(self) -> None:
        """Leave nothing behind."""
        self.gate.set()
        if self.thread.is_alive():
            self.stop()
        self.pool.stop()
        self.poller.close()


@pytest.fixture
def world() -> Iterator[World]:
    world = World()
    yield world
    world.end()


def test_requests_are_handled_and_sent(world: World) -> None:
    world.gate.set()
    world.start(1)
    assert world.sent.wait(10)
    world.stop()
    assert world.log == ["open", "ACK 1", "cancel", "close"]


@pytest.mark.promise("SEQUENCE-DIAGRAMS.md", "cancel the consumer: no new requests")
@pytest.mark.promise(
    "SEQUENCE-DIAGRAMS.md",
    "it accepts no new work, finishes running work, then closes its connections",
)
def test_stopping_returns_waiting_requests_and_awaits_running_ones(
    world: World,
) -> None:
    world.start(1, 2, 3, 4)
    for _ in range(2):
        assert world.began.acquire(timeout=10)
    threading.Timer(0.2, world.gate.set).start()
    world.stop()
    assert world.log[:4] == ["open", "cancel", "REQUEUE 3", "REQUEUE 4"]
    assert sorted(world.log[4:6]) == ["ACK 1", "ACK 2"]
    assert world.log[6:] == ["close"]


def test_stopping_gives_up_after_the_grace_period(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "chassis.rpc.loop")
    world.start(1)
    assert world.began.acquire(timeout=10)
    assert 1 <= world.stop() < 3
    assert world.log == ["open", "cancel", "close"]
    first, second, last = caplog.messages[-3:]
    assert "1 requests running, 0 returned to the queue" in first
    assert "1 requests still run after 1 s" in second and last == "Stopped"


def test_connects_until_it_succeeds(world: World, caplog: Any) -> None:
    world.refusals = [ConnectionRefusedError("no"), ConnectionRefusedError("no")]
    world.gate.set()
    world.start(1)
    assert world.sent.wait(10)
    world.stop()
    assert world.log[:5] == ["open", "drop", "open", "drop", "open"]
    warnings = [one for one in caplog.records if one.levelname == "WARNING"]
    assert [w.getMessage().split()[0] for w in warnings] == ["No", "Connected"]
    assert warnings[0].exc_info is None


def test_an_unexpected_failure_is_logged_with_its_traceback(
    world: World, caplog: Any
) -> None:
    world.refusals = [LookupError("a bug")]
    world.gate.set()
    world.start(1)
    assert world.sent.wait(10)
    warnings = [one for one in caplog.records if one.levelname == "WARNING"]
    assert warnings[0].exc_info


@pytest.mark.promise(
    "docs/RPC.md",
    "A consumer that lost its connection sends late results over the new one, "
    "within their deadline.",
)
def test_results_of_a_lost_connection_go_to_the_next(world: World) -> None:
    world.start(1, 2, 3)
    for _ in range(2):
        assert world.began.acquire(timeout=10)
    world.failure = ConnectionResetError("gone")
    world.inbox = [4]
    until = time.monotonic() + 10
    while world.log.count("open") < 2 and time.monotonic() < until:
        time.sleep(0.01)
    world.gate.set()
    until = time.monotonic() + 10
    while len(world.log) < 6 and time.monotonic() < until:
        time.sleep(0.01)
    assert world.log[:3] == ["open", "drop", "open"]
    assert sorted(world.log[3:]) == [
        "ACK 1 of an old one",
        "ACK 2 of an old one",
        "ACK 4",
    ]


def test_it_counts_as_connected_while_it_consumes(world: World) -> None:
    """Readiness probes see it: not what a crashed process left, nor while it drains."""
    world.gate.set()
    world.start(1)
    assert world.sent.wait(10)
    world.failure = ConnectionResetError("gone")
    until = time.monotonic() + 10
    while world.log.count("open") < 2 and time.monotonic() < until:
        time.sleep(0.01)
    world.stop()
    assert world.connected == [
        (False, None),
        (True, "open"),
        (False, "ACK 1"),
        (True, "open"),
        (False, "cancel"),
    ]


def test_what_was_handled_is_logged_although_it_cannot_be_sent(world: World) -> None:
    world.cannot_send = [ConnectionResetError("gone")]
    world.gate.set()
    world.start(1)
    until = time.monotonic() + 10
    while world.log.count("open") < 2 and time.monotonic() < until:
        time.sleep(0.01)
    assert [tag for _, tag in world.reported] == [1]


def test_stopping_between_attempts_is_immediate(world: World) -> None:
    world.refusals = [ConnectionRefusedError(str(n)) for n in range(100)]
    world.start()
    until = time.monotonic() + 10
    while world.log.count("open") < 3 and time.monotonic() < until:
        time.sleep(0.01)
    assert world.stop() < 0.5


def test_ticks_go_on_while_connected(world: World) -> None:
    world.start()
    until = time.monotonic() + 10
    while world.ticks < 2 and time.monotonic() < until:
        time.sleep(0.01)
    assert world.ticks >= 2


def test_ticks_go_on_without_a_broker(world: World) -> None:
    """A probe must not restart a service that waits for its broker."""
    world.refusals = [ConnectionRefusedError("no") for _ in range(100)]
    world.start()
    until = time.monotonic() + 10
    while world.ticks < 2 and time.monotonic() < until:
        time.sleep(0.01)
    assert world.ticks >= 2 and world.refusals


def test_acknowledgements_do_not_wait_for_the_next_tick(world: World) -> None:
    world.delay = 0.02
    world.gate.set()
    world.start(1)
    assert world.sent.wait(10)
    began = time.monotonic()
    assert world.flushed.wait(10)
    assert time.monotonic() - began < 0.5


def test_what_was_read_already_is_not_waited_for(world: World) -> None:
    """No descriptor reports it."""
    world.is_behind = True
    began = time.monotonic()
    world.start()
    world.wait(lambda: world.receives >= 4)
    assert time.monotonic() - began < 0.5


@pytest.mark.budget("MAX_UNSETTLED_BYTES")
def test_what_is_full_reads_one_step_at_each_tick(world: World) -> None:
    """It includes the broker's heartbeats."""
    read, write = os.pipe()
    os.write(write, b"x")
    world.is_full = world.is_behind = True
    world.descriptors = (read,)
    world.start()
    world.wait(lambda: world.ticks == 1)
    time.sleep(0.1)  # while there is much to read
    assert world.receives == 1
    world.stop()
    os.close(read)
    os.close(write)


def test_what_is_readable_is_read(world: World) -> None:
    read, write = os.pipe()
    world.descriptors = (read,)
    world.start()
    world.wait(lambda: world.ticks == 1)
    assert world.receives == 0
    os.write(write, b"x")
    world.wait(lambda: world.receives > 1)
    world.stop()
    os.close(read)
    os.close(write)


def test_a_probe_learns_of_connections_and_losses(world: World) -> None:
    world.refusals = [ConnectionRefusedError("no")]
    world.gate.set()
    world.start(1)
    assert world.sent.wait(10)
    world.stop()
    assert [each for each, _ in world.connected] == [False, False, True, False]


def test_what_was_handled_is_logged_even_if_it_cannot_be_sent(world: World) -> None:
    world.broken = [ConnectionResetError("gone")]
    world.gate.set()
    world.start(1)
    world.wait(lambda: world.log.count("open") == 2)
    world.stop()
    assert world.reported == [("queue", 1)]
    assert world.log[:4] == ["open", "ACK 1", "drop", "open"]
