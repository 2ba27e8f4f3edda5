"""The feed of events when it rests, starts and stops."""

import asyncio

import pytest

from app.repositories.event_repository import EventFilter
from app.services import event_feed
from app.services.event_feed import EventFeed
from tests.unit.test_event_feed import (
    EVERYTHING,
    Exchange,
    Table,
    code_of_end,
    new_feed,
    opened,
    take,
)


async def test_what_happened_while_the_feed_rested_is_no_news(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(event_feed, "INTERVAL", 0.01)
    monkeypatch.setattr(event_feed, "LINGER", 0)
    table = Table()
    exchange = Exchange(table)
    feed = new_feed(table, exchange)
    async with feed.open("me", EVERYTHING, None):
        pass
    async with asyncio.timeout(10):
        while exchange.has_listener:
            await asyncio.sleep(0.005)
    table.add()
    async with opened(feed) as stream:
        new = table.add()
        assert await take(stream, 1) == [new]


async def test_a_stream_that_opens_while_the_process_stops_ends_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    table = Table()
    feed = new_feed(table)

    async def end() -> int:
        feed.stop()
        return 999

    monkeypatch.setattr(table, "end", end)
    async with opened(feed) as stream:
        async with asyncio.timeout(10):
            assert await stream.next(60) is None
        assert code_of_end(stream) == "shutting_down"


async def test_a_backlog_does_not_lengthen_the_life_of_a_stream(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    table, loop = Table(), asyncio.get_running_loop()
    first, _ = table.add(), table.add()
    now = loop.time
    async with opened(new_feed(table, stream_seconds=60), after=0) as stream:
        assert await take(stream, 1) == [first]
        monkeypatch.setattr(loop, "time", lambda: now() + 60)
        assert await stream.next(10) is None
        assert code_of_end(stream) == "time_limit"
        assert stream.position == first  # to go on from


async def test_events_that_a_stream_passes_over_are_held_no_longer() -> None:
    """What counts as held for ever would slow all streams down in the end."""
    table = Table()
    for _ in range(9):
        table.add(type="c.d")  # every third is of s0
    feed = new_feed(table)
    async with opened(feed, EventFilter(None, "s0", "a.b"), 0) as stream:
        shown = table.add()
        assert await take(stream, 1) == [shown]
        assert await stream.next(0) is None and not feed.held_bytes


@pytest.mark.parametrize("limit", ["TURN", "TURN_BYTES"])
async def test_the_feed_rests_after_each_turn_and_not_after_each_event(
    limit: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Streams send meanwhile; more rests would make the feed slow."""
    table = Table()
    table.add()
    size = len(table.events[0].to_json("/here"))
    monkeypatch.setattr(event_feed, limit, 10 if limit == "TURN" else 10 * size)
    monkeypatch.setattr(event_feed, "INTERVAL", 60)
    rests: list[EventFeed] = []

    async def rest(feed: EventFeed) -> None:
        rests.append(feed)

    monkeypatch.setattr(EventFeed, "_let_send", rest)
    exchange = Exchange(table)
    exchange.publish()
    async with opened(new_feed(table, exchange)) as stream:
        added = [table.add() for _ in range(35)]
        exchange.publish()
        assert await take(stream, 35) == added
    assert len(rests) == 3 and not table.reads
