"""Which streams and pages of events a caller gets, with a log in this process."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import UUID

import pytest
from fastapi.testclient import TestClient

from app.core import budget as budget_module
from app.core.budget import Budget
from app.core.exceptions import NotFound, TooBusy
from app.repositories import event_repository
from app.repositories.event_repository import EventFilter, StoredEvent
from app.services.event_service import EventLogReader, EventService
from app.services.event_stream import FINAL
from tests.echo import EchoSettings, create_echo_app


def event(sequence: int, kind: str) -> StoredEvent:
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    nobody = (None, None, None)
    return StoredEvent(
        sequence, UUID(int=sequence), kind, "it", "alice", *nobody, moment, "1"
    )


LOG = [event(3, "record.accepted"), event(7, "record.succeeded")]


class Log:
    """The events of one subject, which is alice's."""

    async def find(self, wanted: EventFilter) -> tuple[bool, int | None]:
        found = [
            each
            for each in LOG
            if wanted.owner in (None, each.owner)
            and wanted.subject == each.subject
            and wanted.type in (None, each.type)
        ]
        ends = [each.sequence for each in found if each.type in FINAL]
        return bool(found), min(ends, default=None)


class Feed:
    """Notes after which event a stream begins."""

    def __init__(self) -> None:
        self.begins: list[int | None] = []

    @asynccontextmanager
    async def open(
        self, _: str, __: EventFilter, after: int | None
    ) -> AsyncIterator[str]:
        self.begins.append(after)
        yield "a stream"


async def begin(
    wanted: EventFilter, after: int | None = None
) -> tuple[bool, list[int | None]]:
    """Whether there is a stream, and where it begins."""
    feed: Any = Feed()
    log: Any = Log()
    async with EventService(log, feed, "/here").open_stream("me", wanted, after) as it:
        return it is not None, feed.begins


@pytest.mark.parametrize("kind", [None, "record.accepted", "record.succeeded"])
async def test_there_is_no_stream_after_the_last_event(kind: str | None) -> None:
    """Whatever types of events it would show: no other event follows."""
    wanted = EventFilter("alice", "it", kind)
    assert await begin(wanted) == (True, [0])
    assert await begin(wanted, 6) == (True, [6])
    assert await begin(wanted, 7) == (False, [])
    assert await begin(wanted, 8) == (False, [])


async def test_others_have_no_stream_of_it() -> None:
    assert await begin(EventFilter(None, "it")) == (True, [0])
    for wanted in (EventFilter("bob", "it"), EventFilter("alice", "other")):
        with pytest.raises(NotFound):
            await begin(wanted, 1)
    assert await begin(EventFilter("bob")) == (True, [None])


async def test_a_page_begins_after_an_event_and_has_so_many_at_most() -> None:
    class Asked:
        async def read(
            self, after: int, limit: int, wanted: EventFilter, max_bytes: int
        ) -> list[StoredEvent]:
            assert (after, limit, wanted.owner, max_bytes) == (3, 10, "alice", 1000)
            return LOG[1:]

    log: Any = Asked()
    feed: Any = None
    service = EventService(log, feed, "/here")
    assert await service.read(3, 10, EventFilter("alice"), 1000) == LOG[1:]


async def test_pages_of_events_are_read_in_turn(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each may be megabytes long. The settings limit its time."""
    monkeypatch.setattr(budget_module, "READERS", 1)
    monkeypatch.setattr(budget_module, "PATIENCE", 0.01)
    asked: list[Any] = []

    async def read_events(*values: Any) -> list[StoredEvent]:
        asked.append(values)
        return LOG

    @asynccontextmanager
    async def session() -> AsyncIterator[str]:
        yield "a session"

    monkeypatch.setattr(event_repository, "read_events", read_events)
    budget = Budget(1)
    database: Any = SimpleNamespace(session=session)
    reader = EventLogReader(database, budget, 1.5)
    wanted = EventFilter("alice")
    async with budget.reading():
        with pytest.raises(TooBusy):
            await reader.read(2, 10, wanted, 1000)
    assert await reader.read(2, 10, wanted, 1000) == LOG
    assert asked == [("a session", 2, 10, wanted, 1000, 1.5)]


async def test_a_slow_page_of_events_is_cancelled_in_the_time_of_its_reader(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def in_time(_: Any, __: Any, page: Any) -> list[Any]:
        assert page.max_seconds == 0.5
        return []

    monkeypatch.setattr(event_repository, "in_time", in_time)
    session: Any = None
    assert await event_repository.read_events(session, 0, 1, max_seconds=0.5) == []


def test_the_next_page_has_the_same_filters() -> None:
    asked: list[EventFilter] = []

    async def read(_: int, __: int, wanted: EventFilter, ___: int) -> Any:
        asked.append(wanted)
        return LOG[:1]

    app = create_echo_app()
    app.state.resources = SimpleNamespace(
        settings=EchoSettings(), events=SimpleNamespace(read=read, source="/here")
    )
    given = {"task_id": "it", "type": "record.accepted", "limit": "1"}
    client = TestClient(app)
    first = client.get("/api/v1/events", params={"after": "2", **given})
    assert first.status_code == 200, first.text
    link = first.links["next"]["url"]
    query = {name: value for name, (value,) in parse_qs(urlsplit(link).query).items()}
    assert query == {"after": "3", **given}
    assert client.get(link).status_code == 200
    assert asked == [EventFilter(None, "it", "record.accepted")] * 2
