"""How the relay divides what it publishes, and what it takes for published."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import chain
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core.exceptions import DatabaseUnavailable
from app.repositories.event_repository import StoredEvent
from app.services import relay_service
from app.services.relay_service import (
    LONGEST_PAUSE,
    SHORTEST_PAUSE,
    EventRelayService,
    different_subjects,
)
from chassis.events.publisher import EventMessage, NotPublished


def event(sequence: int, subject: str, data: str = "1") -> StoredEvent:
    now, nobody = datetime.now(UTC), (None, None, None, None)
    return StoredEvent(sequence, uuid4(), "record.tested", subject, *nobody, now, data)


@pytest.mark.promise(
    "ARCHITECTURE.md",
    "It sends no event of a subject before RabbitMQ has confirmed the earlier "
    "ones of that subject.",
)
@given(st.lists(st.sampled_from("abcdef")))
def test_no_two_events_of_a_subject_are_on_their_way_at_once(
    subjects: list[str],
) -> None:
    """And no more parts are made than that needs."""
    events = [event(number, subject) for number, subject in enumerate(subjects)]
    parts = list(different_subjects(events))
    assert list(chain.from_iterable(parts)) == events
    for part in parts:
        assert len({each.subject for each in part}) == len(part) > 0
    for part, following in zip(parts, parts[1:], strict=False):
        assert following[0].subject in {each.subject for each in part}


class World:
    """Log, broker, clock and heartbeat of a relay. `turns` say what happens in each of
    its turns; the relay stops when there are none left."""

    exchange = "events"

    def __init__(self, monkeypatch: pytest.MonkeyPatch, log: list[StoredEvent]) -> None:
        self.log = log
        self.stored = 0
        self.published: list[list[int]] = []
        self.bodies: list[Any] = []
        self.seconds = 0.0  # that one confirmation takes
        self.limits: list[int] = []  # of events that it reads
        self.moments: list[float] = []  # when each turn began
        self.touches: list[float] = []
        self.connected: list[bool] = []
        self.refuse: Callable[[int], NotPublished | None] = lambda _: None
        self._now = 0.0
        clock = SimpleNamespace(monotonic=lambda: self._now)
        monkeypatch.setattr(relay_service, "time", clock)
        own: Any = self
        self._relay = EventRelayService(self._begin, own, "source", own)
        self._turns: list[str] = []

    def run(self, *turns: str) -> None:
        """`begin` and `commit` are steps that fail, for want of PostgreSQL."""
        self._turns = [*turns]
        self._relay.run()

    @contextmanager
    def _begin(self) -> Iterator[Any]:
        self.moments.append(self._now)
        if not self._turns:
            self._relay.stop()
            yield None
            return
        turn = self._turns.pop(0)
        if turn == "begin":
            raise DatabaseUnavailable("It is away.")
        own = SimpleNamespace(position=self.stored)

        def next_events(limit: int) -> list[StoredEvent]:
            self.limits.append(limit)
            return [e for e in self.log if e.sequence > own.position][:limit]

        own.next_events = next_events
        own.move = lambda position: setattr(own, "position", position)
        yield own
        if turn == "commit":
            raise DatabaseUnavailable("It went away.")
        self.stored = own.position

    # The publisher's face.

    def open(self) -> None: ...

    def interrupt(self) -> None: ...

    def publish(self, messages: list[EventMessage]) -> None:
        bodies = [json.loads(each.body) for each in messages]
        numbers = [int(body["sequence"]) for body in bodies]
        if error := self.refuse(numbers[0]):
            raise error
        self._now += self.seconds
        self.published.append(numbers)
        self.bodies += bodies

    def wait(self, seconds: float) -> None:
        self._now += seconds

    # The heartbeat's.

    def touch(self) -> None:
        self.touches.append(self._now)

    def set_connected(self, connected: bool) -> None:
        self.connected.append(connected)


LOG = [event(1, "a"), event(2, "b"), event(3, "a"), event(4, "c"), event(5, "a")]


@pytest.mark.promise(
    "docs/EVENTS.md",
    "The relay publishes the log to RabbitMQ and remembers its position in the table "
    "`event_relay`.",
)
def test_its_position_is_behind_what_is_confirmed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = World(monkeypatch, LOG)
    refused = [NotPublished("lost", 0.0), NotPublished("lost", 0.0)]
    world.refuse = lambda first: refused.pop() if first == 3 and refused else None
    world.run("good")
    assert (world.published, world.stored) == ([[1, 2]], 2)

    world = World(monkeypatch, LOG)
    world.refuse = lambda first: NotPublished("lost", 0.0)
    world.run("good")
    assert (world.published, world.stored) == ([], 0)

    world = World(monkeypatch, LOG)
    world.run("good", "good")
    assert (world.published, world.stored) == ([[1, 2], [3, 4], [5]], 5)


def test_it_publishes_again_once_the_position_can_be_stored(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = World(monkeypatch, LOG[:2])
    world.run("commit", "begin", "commit", "commit", "good")
    assert (world.published, world.stored) == ([[1, 2]], 0)
    world = World(monkeypatch, LOG[:2])
    world.run("commit", "good", "good")
    assert (world.published, world.stored) == ([[1, 2], [1, 2]], 2)


def test_pauses_grow_while_postgresql_is_away_and_begin_anew(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def pauses(*turns: str) -> list[float]:
        world = World(monkeypatch, [])
        world.run(*turns)
        return [b - a for a, b in zip(world.moments, world.moments[1:], strict=False)]

    away = pauses(*["begin"] * 7)
    assert away[0] <= 0.1 and 0.5 <= away[-1] <= 2
    *_, last = pauses(*["begin"] * 7, "good", "begin")
    assert last <= 0.1


def test_it_publishes_all_after_a_long_outage(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each failure halves its pages, but never to nothing."""
    world = World(monkeypatch, LOG)
    world.run(*["begin"] * 20, *["good"] * 5)
    assert world.stored == 5


def test_what_one_refuses_is_not_repeated_to_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A full queue holds the relay at one event; the other queues have the rest."""
    world = World(monkeypatch, [event(number, str(number)) for number in range(1, 9)])
    is_full = True
    world.refuse = lambda first: (
        NotPublished("full", 0.0, is_refused=True) if is_full else None
    )
    tried: list[int] = []
    publish = world.publish

    def count(messages: list[EventMessage]) -> None:
        tried.append(len(messages))
        publish(messages)

    monkeypatch.setattr(world, "publish", count)
    world.run("good", "good", "good")
    assert tried == [8, 1, 1]


@pytest.mark.parametrize(
    ("number", "most", "limits"),
    [(49, 10_000, [16, 32]), (49, 1000, [16, 16]), (5, 500, [16, 5])],
)
def test_pages_grow_unless_their_events_are_large(
    monkeypatch: pytest.MonkeyPatch, number: int, most: int, limits: list[int]
) -> None:
    """PostgreSQL reads all of a page to know its size."""
    monkeypatch.setattr(relay_service, "MAX_BYTES", most)
    data = f'"{"x" * 98}"'
    log = [event(each, str(each), data) for each in range(1, number + 1)]
    world = World(monkeypatch, log)
    world.run("good", "good")
    assert world.limits[:2] == limits


def test_the_limit_of_an_event_is_in_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    """RabbitMQ closes the connection for a longer message, again and again."""
    narrow, wide = event(1, "a", f'"{"e" * 900}"'), event(2, "a", f'"{"é" * 900}"')
    longest = len(narrow.to_json("source").encode())
    monkeypatch.setattr(relay_service, "MAX_EVENT_BYTES", longest)
    world = World(monkeypatch, [narrow, wide])
    world.run("good")
    assert [body["data"] for body in world.bodies] == ["e" * 900, None]


def test_a_slow_broker_ends_no_relay(monkeypatch: pytest.MonkeyPatch) -> None:
    """The probe sees that it works, and PostgreSQL ends no transaction that is old."""
    world = World(monkeypatch, [event(number, "a") for number in range(1, 9)])
    world.seconds = 3.0
    world.run("good")
    assert (world.published, world.stored) == ([[1], [2], [3], [4]], 4)
    gaps = zip(world.touches, world.touches[1:], strict=False)
    assert max(later - earlier for earlier, later in gaps) <= world.seconds


def test_it_is_connected_while_both_servers_answer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = World(monkeypatch, LOG[:1])
    world.run("good", "begin", "good")
    assert world.connected == [False, True, False, True, False]
    world = World(monkeypatch, LOG[:1])
    world.refuse = lambda first: NotPublished("lost", 0.0)
    world.run("good", "begin")
    assert world.connected == [False, True, False, True, False]


def test_a_loss_during_a_pause_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody publishes then; the next turn connects again."""
    world = World(monkeypatch, LOG[:1])
    losses, wait = [NotPublished("lost", 5.0)], world.wait

    def lose(seconds: float) -> None:
        wait(seconds)
        if losses:
            raise losses.pop()

    monkeypatch.setattr(world, "wait", lose)
    world.run("begin", "good")
    assert world.published == [[1]]
    assert world.moments[1] - world.moments[0] >= 5


def test_it_looks_often_once_events_come(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(monkeypatch, [])
    pauses, wait = list[float](), world.wait

    def happen(seconds: float) -> None:
        wait(seconds)
        pauses.append(seconds)
        if not world.log and seconds == LONGEST_PAUSE:
            world.log.append(event(1, "a"))
            pauses.clear()

    monkeypatch.setattr(world, "wait", happen)
    world.run("good", "good")
    assert world.published == [[1]]
    assert pauses[:9] == [SHORTEST_PAUSE] * 9 and max(pauses) == LONGEST_PAUSE
