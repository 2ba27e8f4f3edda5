"""The feed of events: each stream has every event once, in order, whatever happens to
the exchange, the table and the client."""

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest

from app.api.event_streams import server_sent
from app.core.exceptions import DatabaseUnavailable, TooBusy, TooManyStreams
from app.repositories.event_repository import EventFilter, StoredEvent
from app.services import event_feed, event_stream
from app.services.event_feed import EventFeed
from app.services.event_stream import Closing, EventStream, FeedEvent
from chassis.events.published import PublishedEvent

OWNERS = ("alice", "bob", None)
EVERYTHING = EventFilter()


class Table:
    """The log. Its last ``unsettled`` events may not be read yet."""

    def __init__(self) -> None:
        self.events: list[StoredEvent] = []
        self.unsettled = 0
        self.is_away = False
        self.reads = 0
        self.pause: Callable[[], float] = lambda: 0

    def add(self, owner: str | None = None, type: str = "a.b", data: str = "1") -> int:
        sequence = len(self.events) * 7 + 1000
        moment = datetime(2026, 1, 1, tzinfo=UTC)
        subject = f"s{len(self.events) % 3}"
        event = StoredEvent(
            *(sequence, UUID(int=sequence), type, subject, owner),
            *(None, None, None, moment, data),
        )
        self.events.append(event)
        return sequence

    @property
    def settled(self) -> list[StoredEvent]:
        return self.events[: len(self.events) - self.unsettled]

    async def end(self) -> int:
        await self._answer()
        return self.settled[-1].sequence if self.settled else 999

    async def read(
        self, after: int, limit: int, wanted: EventFilter, max_bytes: int
    ) -> list[StoredEvent]:
        self.reads += 1
        await self._answer()
        found = [e for e in self.settled if e.sequence > after and fits(e, wanted)]
        await asyncio.sleep(self.pause())
        return found[:limit]

    async def _answer(self) -> None:
        await asyncio.sleep(self.pause())
        if self.is_away:
            raise DatabaseUnavailable("gone")


def fits(event: StoredEvent, wanted: EventFilter) -> bool:
    return all(
        value in (None, getattr(event, name))
        for name, value in (
            ("owner", wanted.owner),
            ("subject", wanted.subject),
            ("type", wanted.type),
        )
    )


class Exchange:
    """Publishes what is settled, in order, at least once; messages may get lost."""

    def __init__(self, table: Table) -> None:
        self._table = table
        self._on_event: Callable[[PublishedEvent], None] | None = None
        self.previous: int | None = -1
        self.position = -1
        self.is_joined = False

    def __call__(self, on_event: Callable[[PublishedEvent], None]) -> "Exchange":
        self._on_event = on_event
        return self

    def start(self) -> None:
        """Listeners hear what is published from now on."""

    def stop(self) -> None:
        self._on_event = None

    def join(self) -> None:
        self.is_joined = True

    @property
    def has_listener(self) -> bool:
        return self._on_event is not None

    def publish(self, is_lost: Callable[[], bool] = lambda: False) -> None:
        for event in self._table.settled:
            if event.sequence <= self.position:
                continue
            text = event.to_json("/here")
            message = PublishedEvent(
                *(event.sequence, self.previous, event.type, event.subject),
                *(event.owner, text),
            )
            self.previous = self.position = event.sequence
            if self._on_event and not is_lost():
                self._on_event(message)

    def restart(self) -> None:
        """The relay may begin before where it ended."""
        again = [e.sequence for e in self._table.settled if e.sequence <= self.position]
        if len(again) > 3:
            self.previous = self.position = again[-3]


def new_feed(table: Table, exchange: Exchange | None = None, **more: Any) -> EventFeed:
    limits = {"max_streams": 100, "max_of_caller": 100, "stream_seconds": 3600} | more
    return EventFeed(table, "/here", exchange, **limits)


@asynccontextmanager
async def opened(
    feed: EventFeed, wanted: EventFilter = EVERYTHING, after: int | None = None
) -> AsyncIterator[EventStream]:
    try:
        async with feed.open("me", wanted, after) as stream:
            yield stream
    finally:
        await feed.close()


async def take(stream: EventStream, number: int) -> list[int]:
    found: list[int] = []
    while len(found) < number:
        event = await stream.next(10)
        assert event is not None, f"only {found}: {stream.closing}"
        found.append(event.sequence)
    return found


def code_of_end(stream: EventStream) -> str | None:
    return stream.closing and stream.closing.code


@pytest.fixture(autouse=True)
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_feed, "INTERVAL", 0.01)
    monkeypatch.setattr(event_stream, "RETRY", 0.005)


@pytest.fixture
def table() -> Table:
    return Table()


async def test_a_new_stream_begins_now(table: Table) -> None:
    table.add()
    async with opened(new_feed(table)) as stream:
        new = table.add()
        assert await take(stream, 1) == [new]


async def test_a_stream_goes_on_after_the_one_that_the_client_has(table: Table) -> None:
    added = [table.add() for _ in range(250)]
    async with opened(new_feed(table), after=added[9]) as stream:
        assert await take(stream, 240) == added[10:]
        assert await take(stream, 0) == []
        new = table.add()
        assert await take(stream, 1) == [new]


async def test_what_the_exchange_tells_is_not_read_from_the_table(
    table: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_feed, "INTERVAL", 60)
    exchange = Exchange(table)
    async with opened(new_feed(table, exchange)) as stream:
        added = [table.add() for _ in range(3)]
        exchange.publish()
        assert await take(stream, 3) == added
        assert not table.reads
        lost = table.add()
        exchange.publish(lambda: True)
        last = table.add()
        exchange.publish()
        assert await take(stream, 2) == [lost, last]
        assert table.reads


async def test_an_event_that_names_no_earlier_one_proves_nothing(
    table: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Others may publish to the exchange, too: the table has what came before."""
    monkeypatch.setattr(event_feed, "INTERVAL", 60)
    exchange = Exchange(table)
    async with opened(new_feed(table, exchange)) as stream:
        added = [table.add()]
        exchange.publish(lambda: True)
        exchange.previous = None
        added.append(table.add())
        exchange.publish()
        assert await take(stream, 2) == added


async def test_a_stream_shows_what_it_asks_for(table: Table) -> None:
    wanted = EventFilter("alice", "s1", "a.b")
    async with opened(new_feed(table), wanted, after=0) as stream:
        for _ in range(6):
            table.add("alice")
        table.add("bob")
        table.add("alice", type="c.d")  # s1, of another type
        table.add("alice")
        for _ in range(2):
            table.add("alice")
        hers = [e.sequence for e in table.events if fits(e, wanted)]
        assert await take(stream, len(hers)) == hers


@pytest.mark.parametrize("shown", [None, "a.b"])
@pytest.mark.parametrize("is_there_before", [True, False])
async def test_a_stream_ends_with_its_record(
    table: Table, shown: str | None, is_there_before: bool
) -> None:
    first = table.add()
    table.add()
    table.add()
    if is_there_before:
        table.add(type="record.succeeded")
    async with opened(new_feed(table), EventFilter(None, "s0", shown), 0) as stream:
        assert await take(stream, 1) == [first]
        if not is_there_before:
            assert await stream.next(0.02) is None and not stream.closing
            table.add(type="record.succeeded")
        last = await stream.next(10)
        assert (last is None) is (shown is not None)
        assert await stream.next(10) is None
        assert stream.closing and stream.closing.code == "ended"


async def test_a_stream_outlives_an_outage_of_the_table(table: Table) -> None:
    table.add()
    exchange = Exchange(table)
    exchange.publish()
    async with opened(new_feed(table, exchange)) as stream:
        table.is_away = True
        lost = table.add()
        exchange.publish(lambda: True)
        gap = table.add()
        exchange.publish()
        assert await stream.next(0.05) is None and stream.closing is None
        table.is_away = False
        assert await take(stream, 2) == [lost, gap]


@pytest.mark.promise(
    "docs/BUDGETS.md", "A client that reads too slowly is dropped, not buffered"
)
@pytest.mark.budget("event_stream.MAX_WAITING", "event_stream.MAX_WAITING_BYTES")
@pytest.mark.parametrize("limit", ["MAX_WAITING", "MAX_WAITING_BYTES"])
async def test_a_client_that_does_not_read_is_dropped(
    table: Table, limit: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    table.add()
    size = len(table.events[0].to_json("/here"))
    most = 5 if limit == "MAX_WAITING" else 5 * size
    monkeypatch.setattr(event_stream, limit, most)
    feed = new_feed(table)
    async with opened(feed) as stream, feed.open("other", EVERYTHING, None) as other:
        added = [table.add() for _ in range(5)]
        assert await take(other, 5) == added
        assert code_of_end(stream) is None
        added = [table.add()]
        assert await take(other, 1) == added
        assert code_of_end(stream) == "slow_client"
        assert await stream.next(10) is None


@pytest.mark.budget("event_feed.MAX_HELD_BYTES")
async def test_the_bytes_that_wait_for_all_clients_are_limited(
    table: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The client for which most waits is dropped; shared events count once."""
    monkeypatch.setattr(event_feed, "MAX_HELD_BYTES", 10_000)
    feed = new_feed(table)
    hers = EventFilter("alice")
    async with opened(feed) as slow, feed.open("other", hers, None) as other:
        for owner in ("alice", "bob", "bob"):
            table.add(owner, data=f'"{"x" * 2800}"')
        await asyncio.sleep(0.05)
        assert code_of_end(slow) is None and 9000 < feed.held_bytes < 10_000
        table.add("bob", data=f'"{"x" * 2800}"')
        await asyncio.sleep(0.05)
        assert code_of_end(slow) == "slow_client"
        assert code_of_end(other) is None and 3000 < feed.held_bytes < 3500
    assert feed.held_bytes == 0


async def test_a_process_that_holds_enough_reads_no_more(
    table: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_feed, "MAX_HELD_BYTES", 1)
    added = [table.add()]
    feed = new_feed(table)
    async with opened(feed, after=0) as first, feed.open("you", EVERYTHING, 0) as other:
        assert await take(first, 1) == added
        assert await other.next(0.05) is None and not other.closing
        assert await first.next(0.01) is None  # it has sent its event
        assert await take(other, 1) == added


@pytest.mark.budget("event_feed.MAX_ARRIVED", "event_feed.MAX_ARRIVED_BYTES")
@pytest.mark.parametrize("limit", ["MAX_ARRIVED", "MAX_ARRIVED_BYTES"])
async def test_what_arrives_while_the_loop_is_busy_is_limited(
    table: Table, limit: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is read from the table then."""
    table.add()
    size = len(table.events[0].to_json("/here"))
    monkeypatch.setattr(event_feed, limit, 10 if limit == "MAX_ARRIVED" else 10 * size)
    monkeypatch.setattr(event_feed, "INTERVAL", 60)
    exchange = Exchange(table)
    exchange.publish()
    feed = new_feed(table, exchange)
    async with opened(feed) as stream:
        for number in (6, 6, 10):  # what was handed on does not count
            added = [table.add() for _ in range(number)]
            exchange.publish()
            assert await take(stream, number) == added
        assert not table.reads
        added = [table.add() for _ in range(11)]
        exchange.publish()
        assert await take(stream, 11) == added
        assert table.reads


async def test_a_stream_that_has_ended_leaves_nothing(table: Table) -> None:
    """Callers and what they want come and go; the listener's thread ends at last."""
    exchange = Exchange(table)
    feed = new_feed(table, exchange)
    async with feed.open("me", EventFilter("alice"), None):
        assert feed._callers and feed._streams
    assert not feed._callers and not feed._streams
    async with opened(feed):
        assert exchange.has_listener
    assert exchange.is_joined and not feed._callers


@pytest.mark.budget("EVENTS_MAX_STREAMS", "EVENTS_MAX_STREAMS_OF_CALLER")
async def test_streams_are_limited(table: Table) -> None:
    feed = new_feed(table, max_streams=3, max_of_caller=2)
    async with opened(feed), feed.open("me", EVERYTHING, 0):
        with pytest.raises(TooManyStreams):
            async with feed.open("me", EVERYTHING, None):
                pass
        async with feed.open("other", EVERYTHING, None):
            with pytest.raises(TooBusy):
                async with feed.open("third", EVERYTHING, None):
                    pass
        async with feed.open("third", EVERYTHING, None):
            assert feed.open_streams == 3
    assert feed.open_streams == 0


@pytest.mark.promise("docs/SECURITY.md", "`EVENTS_STREAM_MAX_SECONDS` ends it")
@pytest.mark.budget("EVENTS_STREAM_MAX_SECONDS")
async def test_a_stream_has_a_longest_life(table: Table) -> None:
    feed = new_feed(table, stream_seconds=0)
    async with opened(feed) as stream:
        assert await stream.next(10) is None
        assert stream.closing and stream.closing.code == "time_limit"


async def test_a_stream_that_waits_ends_in_time(table: Table) -> None:
    """Not only when it is asked for the next event."""
    async with opened(new_feed(table, stream_seconds=0.05)) as stream:
        async with asyncio.timeout(10):
            assert await stream.next(60) is None
        assert code_of_end(stream) == "time_limit"


async def test_nothing_waits_for_a_stream_that_has_ended(table: Table) -> None:
    feed = new_feed(table)
    async with opened(feed) as stream, feed.open("other", EVERYTHING, None) as other:
        stream.close(event_stream.time_limit())
        added = [table.add()]
        assert await take(other, 1) == added
        assert not stream.waiting_bytes


async def test_a_closed_stream_says_when_to_come_back(table: Table) -> None:
    """In milliseconds, as browsers read it."""
    async with opened(new_feed(table)) as stream:
        stream.close(Closing("time_limit", "It is old.", 1.5))
        first, last = [block.decode() async for block in server_sent(stream)]
    assert f"id: {stream.position}\n" in first
    assert "event: stream.closed\n" in last and "retry: 1500\n" in last


async def test_a_stopping_process_ends_its_streams(table: Table) -> None:
    feed = new_feed(table)
    async with opened(feed) as stream:
        waiting = asyncio.create_task(stream.next(10))
        await asyncio.sleep(0.02)
        feed.stop()
        assert await waiting is None
        assert stream.closing and stream.closing.code == "shutting_down"
        with pytest.raises(TooBusy):
            async with feed.open("me", EVERYTHING, None):
                pass


async def test_the_feed_runs_while_streams_are_open(
    table: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_feed, "LINGER", 0.03)
    feed = new_feed(table)
    for _ in range(2):
        async with feed.open("me", EVERYTHING, None) as stream:
            new = table.add()
            assert await take(stream, 1) == [new]
        reads = -1
        async with asyncio.timeout(10):
            while reads != table.reads:  # no more than one in each interval
                reads = table.reads
                await asyncio.sleep(0.05)
    await feed.close()


async def test_a_feed_that_nobody_reads_listens_no_longer(
    table: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_feed, "LINGER", 0)
    exchange = Exchange(table)
    feed = new_feed(table, exchange)
    for number in range(2):
        async with feed.open(f"caller {number}", EventFilter(f"{number}"), None):
            assert exchange.has_listener
        async with asyncio.timeout(10):
            while exchange.has_listener:
                await asyncio.sleep(0.005)
    # Callers and filters without a stream take no memory.
    assert not feed._callers and not feed._streams
    await feed.close()
    assert exchange.is_joined


async def test_no_first_stream_without_the_table(table: Table) -> None:
    table.is_away = True
    feed = new_feed(table)
    with pytest.raises(DatabaseUnavailable):
        async with feed.open("me", EVERYTHING, None):
            pass
    assert feed.open_streams == 0
    table.is_away = False
    async with opened(feed) as stream:
        new = table.add()
        assert await take(stream, 1) == [new]


@pytest.mark.promise("docs/EVENTS.md", "Streams show each event once, in order")
@pytest.mark.parametrize("seed", range(12))
async def test_no_event_is_missing_and_none_comes_twice(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever happens, in whatever order: clients that come, go, return and are slow,
    messages that are lost or sent again, an exchange or a table that is away."""
    chance = random.Random(seed)
    monkeypatch.setattr(event_feed, "PAGE", chance.choice((1, 3, 100)))
    monkeypatch.setattr(event_stream, "MAX_WAITING", chance.choice((1, 5, 1000)))
    monkeypatch.setattr(event_feed, "MAX_ARRIVED", chance.choice((3, 10_000)))
    monkeypatch.setattr(event_feed, "LINGER", chance.choice((0, 10)))
    table = Table()
    table.pause = lambda: chance.choice((0, 0, 0.002))
    for _ in range(chance.randrange(20)):
        table.add(chance.choice(OWNERS))
    exchange = Exchange(table)
    feed = new_feed(table, chance.choice((exchange, exchange, None)))
    is_over = False

    async def write() -> None:
        nonlocal is_over
        for _ in range(120):
            table.add(chance.choice(OWNERS))
            table.unsettled = chance.choice((table.unsettled + 1, 0, 0))
            table.is_away = chance.random() < 0.1
            event = chance.random()
            if event < 0.1:
                exchange.restart()
            if event < 0.8:
                exchange.publish(lambda: chance.random() < 0.1)
            await asyncio.sleep(chance.choice((0, 0, 0.001)))
        table.unsettled, table.is_away = 0, False
        is_over = True

    async def read(wanted: EventFilter, position: int | None) -> None:
        seen: list[int] = []
        first = position
        while not is_over or seen != expected(wanted, first):
            number = chance.choice((1, 5, 1000))
            try:
                async with feed.open("me", wanted, position) as stream:
                    first = stream.position if first is None else first
                    while number and (event := await stream.next(0.02)):
                        number -= 1
                        note(seen, event)
                        await asyncio.sleep(chance.choice((0, 0, 0.003)))
                    position = stream.position
            except DatabaseUnavailable:
                await asyncio.sleep(0.001)

    def note(seen: list[int], event: FeedEvent) -> None:
        assert not seen or event.sequence > seen[-1]
        seen.append(event.sequence)

    def expected(wanted: EventFilter, after: int | None) -> list[int]:
        assert after is not None
        events = table.events
        return [e.sequence for e in events if e.sequence > after and fits(e, wanted)]

    async with asyncio.timeout(10):
        await asyncio.gather(
            write(),
            read(EVERYTHING, 0),
            read(EVERYTHING, None),
            *(read(EventFilter(owner), 0) for owner in ("alice", "bob")),
            read(EventFilter(None, "s1"), 1005),
            read(EventFilter("alice", "s2", "a.b"), None),
        )
    assert feed.held_bytes == 0
    await feed.close()
