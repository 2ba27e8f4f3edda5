"""Reads the event log for lists and streams. One per process: a session is open only
while a query runs."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from app.core.budget import Budget
from app.core.database import Database
from app.core.exceptions import NotFound
from app.repositories import event_repository
from app.repositories.event_repository import EventFilter, StoredEvent
from app.services.event_feed import EventFeed
from app.services.event_stream import FINAL, EventStream


class EventLogReader:
    """The table, for the feed and its streams."""

    def __init__(self, database: Database, budget: Budget, max_seconds: float) -> None:
        self._database = database
        self._budget = budget
        self._max_seconds = max_seconds

    async def end(self) -> int:
        """The sequence up to which no event can appear any more."""
        async with self._database.session() as session:
            return await event_repository.last_settled(session)

    async def read(
        self, after: int, limit: int, wanted: EventFilter, max_bytes: int
    ) -> list[StoredEvent]:
        """The next events."""
        async with self._budget.reading(), self._database.session() as session:
            return await event_repository.read_events(
                session, after, limit, wanted, max_bytes, self._max_seconds
            )

    async def find(self, wanted: EventFilter) -> tuple[bool, int | None]:
        """Whether that subject has events, and the sequence of its final one."""
        async with self._database.session() as session:
            return await event_repository.find_subject(session, wanted, FINAL)


@dataclass(frozen=True)
class EventService:
    """``source`` names this system in its CloudEvents."""

    log: EventLogReader
    feed: EventFeed
    source: str

    async def read(
        self, after: int, limit: int, wanted: EventFilter, max_bytes: int
    ) -> list[StoredEvent]:
        """A page of events, oldest first."""
        return await self.log.read(after, limit, wanted, max_bytes)

    @asynccontextmanager
    async def open_stream(
        self, caller: str, wanted: EventFilter, after: int | None
    ) -> AsyncIterator[EventStream | None]:
        """A stream; without ``after``, of a subject from its first event, of everything
        from now on. None if the client has the subject's last event.

        Raises:
            NotFound: the caller sees no events of the subject.
            TooManyStreams, TooBusy, DatabaseUnavailable: as :meth:`EventFeed.open`.
        """
        if wanted.subject is not None:
            subject = EventFilter(wanted.owner, wanted.subject)
            found, ended_at = await self.log.find(subject)
            if not found:
                raise NotFound(f"No record has the id {wanted.subject}.")
            after = after or 0
            if ended_at is not None and ended_at <= after:
                yield None
                return
        async with self.feed.open(caller, wanted, after) as stream:
            yield stream
