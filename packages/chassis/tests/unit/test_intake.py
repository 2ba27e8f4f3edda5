"""What a service's connection writes, without a broker."""

import math
import time
from collections.abc import Callable
from typing import Any, cast

import pytest

from chassis.rpc.connection import BrokerConnection, Delivery
from chassis.rpc.intake import ACK_DELAY, Intake
from chassis.rpc.topology import RequestQueue
from chassis.rpc.wire import Outcome, Request, Settlement
from tests.unit.fake_connection import PREFETCH, FakeConnection


class Bench:
    """An intake with eight requests delivered."""

    def __init__(
        self, is_reliable: bool = True, headers: dict[str, Any] | None = None
    ) -> None:
        self.requests: dict[int, Request] = {}
        self.connection = FakeConnection(is_reliable)
        self.intake = Intake(
            cast(BrokerConnection, self.connection),
            RequestQueue("work"),
            PREFETCH,
            self._take,
        )
        self.intake.open()
        for tag in range(1, 9):
            properties = {"reply_to": "replies", "correlation_id": f"call-{tag}"}
            self.connection.deliver(Delivery(b"{}", headers or {}, properties, tag))
        self.intake.receive()

    def _take(self, request: Request) -> None:
        self.requests[request.delivery.tag] = request

    def outcomes(
        self, settlement: Settlement, *tags: int, reply: bytes | None = None
    ) -> list[tuple[Request, Outcome]]:
        return [(self.requests[tag], Outcome(settlement, reply)) for tag in tags]


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_each_turn_is_one_write_and_consecutive_tags_share_an_ack(bench: Bench) -> None:
    bench.intake.send(bench.outcomes(Settlement.ACK, 2, 1, 3, 5, 7))
    assert bench.connection.writes == ["ack up to 3, ack 5, ack 7"]
    bench.intake.send(bench.outcomes(Settlement.ACK, 4, 6, 8))
    assert bench.connection.writes[1:] == ["ack up to 8"]


@pytest.mark.promise(
    "docs/RPC.md",
    "The consumer acknowledges a request at most 10 ms after it publishes the reply.",
)
def test_few_acks_wait_a_moment_for_others(bench: Bench) -> None:
    intake, writes = bench.intake, bench.connection.writes
    intake.send(bench.outcomes(Settlement.ACK, 1))
    due = intake.flush_at
    assert time.monotonic() < due <= time.monotonic() + ACK_DELAY
    intake.send(bench.outcomes(Settlement.ACK, 2))
    assert (writes, intake.flush_at) == ([], due)
    intake.flush()
    assert (writes, intake.flush_at) == (["ack up to 2"], math.inf)
    intake.send(bench.outcomes(Settlement.ACK, 3, 4, 5))
    assert writes[1:] == ["ack up to 5"]
    assert intake.flush_at == math.inf


@pytest.mark.promise(
    "ARCHITECTURE.md", "The service acknowledges a request after replying."
)
def test_replies_are_sent_before_settlements(bench: Bench) -> None:
    bench.intake.send(bench.outcomes(Settlement.DEAD_LETTER, 1, 2, reply=b"1"))
    assert bench.connection.writes == [
        "reply call-1 to replies, reply call-2 to replies, reject 1, reject 2"
    ]


def test_rejections_are_sent_before_an_ack_of_later_tags(bench: Bench) -> None:
    bench.intake.send(
        [
            *bench.outcomes(Settlement.ACK, 1),
            *bench.outcomes(Settlement.REQUEUE, 2),
            *bench.outcomes(Settlement.DEAD_LETTER, 3),
            *bench.outcomes(Settlement.ACK, 4),
        ]
    )
    bench.intake.flush()
    assert bench.connection.writes == ["requeue 2, reject 3", "ack up to 4"]


@pytest.mark.promise(
    "docs/RPC.md",
    "It acknowledges none of them: the broker has already redelivered those messages.",
)
def test_tags_of_an_old_connection_settle_nothing_on_a_new_one(bench: Bench) -> None:
    old = Bench()
    bench.intake.send(old.outcomes(Settlement.ACK, 1, 2, reply=b"1"))
    bench.intake.send(old.outcomes(Settlement.REQUEUE, 3))
    bench.intake.flush()
    assert bench.connection.writes == [
        "reply call-1 to replies, reply call-2 to replies"
    ]
    bench.intake.send(bench.outcomes(Settlement.ACK, *range(1, 9)))
    assert bench.connection.writes[1:] == ["ack up to 8"]


def test_a_late_result_of_an_old_connection_is_not_sent(bench: Bench) -> None:
    old = Bench(headers={"x-time-left": -1})
    bench.intake.send(old.outcomes(Settlement.ACK, 1, reply=b"1"))
    assert bench.connection.writes == []


def test_what_is_done_is_acknowledged_before_the_connection_closes(
    bench: Bench,
) -> None:
    """Otherwise the next process would do it again."""
    bench.intake.send(bench.outcomes(Settlement.ACK, 1, 2))
    assert bench.connection.writes == []  # it waits for others
    bench.intake.cancel()
    bench.intake.close()
    assert bench.connection.writes == ["ack up to 2", "close"]


def test_redis_gets_each_ack_separately() -> None:
    bench = Bench(is_reliable=False)
    bench.intake.send(bench.outcomes(Settlement.ACK, 2, 1))
    bench.intake.flush()
    assert bench.connection.writes == ["ack 2, ack 1"]


@pytest.mark.parametrize(("is_reliable", "is_late"), [(True, False), (False, True)])
def test_without_expiration_the_time_in_the_queue_counts(
    is_reliable: bool, is_late: bool
) -> None:
    sent_at = int((time.time() - 2) * 1000)
    bench = Bench(is_reliable, {"x-time-left": 1000, "x-sent-at": sent_at})
    assert bench.requests[1].is_late() is is_late


def bounded(max_bytes: int) -> tuple[Intake, list[Request]]:
    """An intake with that limit and four requests of five bytes, and those that
    arrived."""
    arrived: list[Request] = []
    intake = Intake(
        cast(BrokerConnection, Socket([b"12345"] * 4)),
        RequestQueue("queue"),
        PREFETCH,
        arrived.append,
        max_bytes=max_bytes,
    )
    intake.open()
    intake.receive()
    return intake, arrived


@pytest.mark.budget("MAX_UNSETTLED_BYTES")
@pytest.mark.parametrize(("max_bytes", "fetched"), [(10, 2), (11, 3)])
def test_an_intake_fetches_until_it_is_full(max_bytes: int, fetched: int) -> None:
    _, arrived = bounded(max_bytes)
    assert len(arrived) == fetched


def test_a_full_intake_leaves_the_rest_in_the_socket() -> None:
    intake, arrived = bounded(10)
    assert (len(arrived), intake.is_full, intake.is_behind) == (2, True, True)
    intake.receive()  # at a tick: at least one
    assert len(arrived) == 3
    intake.send([(each, Outcome.answer("1", "kind")) for each in arrived[:2]])
    assert not intake.is_full and intake.is_behind
    intake.receive()
    assert len(arrived) == 4
    intake.send([(each, Outcome.answer("1", "kind")) for each in arrived[2:]])
    intake.receive()
    assert not intake.is_full and not intake.is_behind


class Socket(FakeConnection):
    """Has deliveries that are still unread."""

    def __init__(self, bodies: list[bytes]) -> None:
        super().__init__()
        self._bodies = list(enumerate(bodies, start=1))

    def receive(self, is_enough: Callable[[], bool]) -> None:
        while self._bodies:
            tag, body = self._bodies.pop(0)
            properties = {"reply_to": "caller", "correlation_id": str(tag)}
            self.deliver(Delivery(body, {}, properties, tag))
            if is_enough():
                break


def test_an_answer_is_sent_as_it_is(bench: Bench) -> None:
    outcome = Outcome.answer("1", "kind")
    bench.intake.send([(bench.requests[1], outcome)])
    assert bench.connection.replies == [(b"1", outcome.reply_headers)]


def test_what_arrives_while_it_closes_is_not_begun(bench: Bench) -> None:
    """It returns to the queue."""
    bench.requests.clear()
    bench.intake.close()
    bench.connection.deliver(Delivery(b"{}", {}, {}, 9))
    assert not bench.requests and bench.connection.writes == ["close"]


def test_the_time_in_a_queue_of_redis_counts() -> None:
    bench = Bench(is_reliable=False, headers={"x-sent-at": 5_000})
    bench.connection.now = lambda: 7.0
    before = time.monotonic()
    properties = {"reply_to": "replies", "correlation_id": "call-9"}
    for tag, headers in ((9, {"x-sent-at": 5_000}), (10, {})):
        bench.connection.deliver(Delivery(b"{}", headers, properties, tag))
    assert bench.requests[9].arrived == pytest.approx(before - 2, abs=1)
    assert bench.requests[10].arrived == pytest.approx(before, abs=0.9)


@pytest.mark.parametrize("settlement", [s for s in Settlement if s.name != "RETRY"])
def test_an_intake_is_full_by_what_is_not_settled(settlement: Settlement) -> None:
    intake, arrived = bounded(11)
    assert len(arrived) == 3
    for each in arrived[:2]:
        intake.send([(each, Outcome(settlement))])
    assert not intake.is_full
    intake.receive()  # the fourth
    assert len(arrived) == 4 and not intake.is_full
