"""Reads the event log, and adds events to it.

PostgreSQL adds the events of records by itself. Add those of your own tables with
:func:`add_event`, in the session that changes the row.
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    Text,
    cast,
    func,
    insert,
    literal_column,
    or_,
    select,
)
from sqlmodel import col
from sqlmodel.ext.asyncio.session import AsyncSession

from app.models.event_types import Data, EventType
from app.models.events import RecordEvent
from app.repositories.pages import MAX_BYTES, MAX_SECONDS, Page, in_time
from chassis.context import current_principal, current_request_id
from chassis.events.event import event_json
from chassis.telemetry import tracing

_columns = RecordEvent.__table__.columns  # type: ignore[attr-defined]
STORED_EVENT = [
    cast(column, Text) if column.name == "data" else column for column in _columns
]

#: The first number that is not settled: below it, no event can appear any more.
settled: Any = literal_column("(SELECT settled_events())")


@dataclass(frozen=True, slots=True)
class StoredEvent:
    """A row of the log; ``data`` stays JSON text as stored."""

    sequence: int
    event_id: UUID
    type: str
    subject: str
    owner: str | None
    actor: str | None
    correlation_id: str | None
    traceparent: str | None
    time: datetime
    data: str

    def to_json(self, source: str) -> str:
        """The event as CloudEvents has it."""
        return event_json(
            sequence=self.sequence,
            data=self.data,
            id=str(self.event_id),
            source=source,
            type=self.type,
            subject=self.subject,
            time=self.time.isoformat(),
            correlationid=self.correlation_id,
            traceparent=self.traceparent,
            owner=self.owner,
            actor=self.actor,
        )


@dataclass(frozen=True, slots=True)
class EventFilter:
    """The events that a reader wants; None does not filter. ``owner`` is whose events
    the reader may see."""

    owner: str | None = None
    subject: str | None = None
    type: str | None = None

    def conditions(self) -> Iterator[ColumnElement[bool]]:
        """As conditions of a query."""
        for name in ("owner", "subject", "type"):
            value = getattr(self, name)
            if value is not None:
                yield _columns[name] == value


def next_events(
    after: int,
    limit: int,
    wanted: EventFilter = EventFilter(),
    max_bytes: int = MAX_BYTES,
) -> Any:
    """The query for settled events in order, from the first one after that sequence:
    at most ``limit``, and no more than ``max_bytes`` of data except for a first one."""
    size = func.octet_length(cast(_columns["data"], Text)).label("size")
    found = (
        select(*STORED_EVENT, size)
        .where(
            col(RecordEvent.sequence) > after,
            col(RecordEvent.sequence) < settled,
            *wanted.conditions(),
        )
        .order_by(col(RecordEvent.sequence))
        .limit(limit)
        .subquery()
    )
    total = func.sum(found.c.size).over(order_by=found.c.sequence).label("total")
    number = func.row_number().over(order_by=found.c.sequence).label("number")
    page = select(found, total, number).subquery()
    names = [column.name for column in _columns]
    return (
        select(*(page.c[name] for name in names))
        .where(or_(page.c.total <= max_bytes, page.c.number == 1))
        .order_by(page.c.sequence)
    )


async def read_events(
    session: AsyncSession,
    after: int,
    limit: int,
    wanted: EventFilter = EventFilter(),
    max_bytes: int = MAX_BYTES,
    max_seconds: float = MAX_SECONDS,
) -> list[StoredEvent]:
    """As :func:`next_events`.

    Raises:
        DatabaseUnavailable: it took longer than ``max_seconds``.
    """
    query = next_events(after, limit, wanted, max_bytes)
    page = Page(limit, max_seconds=max_seconds)
    return [StoredEvent(*row) for row in await in_time(session, query, page)]


async def last_settled(session: AsyncSession) -> int:
    """The sequence up to which no event can appear any more."""
    found: int | None = await session.scalar(select(settled - 1))
    return found or 0


async def find_subject(
    session: AsyncSession, wanted: EventFilter, final: Collection[str]
) -> tuple[bool, int | None]:
    """Whether there are such events, settled or not, and the sequence of the first one
    of a ``final`` type."""
    conditions = list(wanted.conditions())
    first = select(func.min(col(RecordEvent.sequence))).where(
        *conditions,
        col(RecordEvent.type).in_(final),
        col(RecordEvent.sequence) < settled,
    )
    exists = select(col(RecordEvent.sequence)).where(*conditions).exists()
    query: Any = select(exists, first.scalar_subquery())
    found, ended_at = (await session.exec(query)).one()
    return found, ended_at


async def add_event(
    session: AsyncSession,
    kind: EventType[Data],
    subject: str,
    data: Data,
    owner: str | None = None,
) -> None:
    """Add an event to the log; it happens if the session commits.

    Args:
        kind: a type of ``app.models.event_types``.
        subject: the id of the thing that it happened to. Its events stay in order.
        data: what others need to know.
        owner: who may see it, besides admins; by default the caller.
    """
    caller = current_principal.get()
    values = {
        "type": kind.name,
        "subject": subject,
        "owner": caller if owner is None else owner,
        "actor": caller,
        "correlation_id": current_request_id.get(),
        "traceparent": tracing.traceparent(),
        "data": data.model_dump(mode="json"),
    }
    await session.exec(insert(RecordEvent).values(**values))


async def name_cause(session: AsyncSession) -> None:
    """Tell PostgreSQL who changes records in this transaction, for their events."""
    cause = {
        "events.actor": current_principal.get() or "",
        "events.correlation_id": current_request_id.get(),
    }
    query: Any = select(*(func.set_config(*each, True) for each in cause.items()))
    await session.exec(query)
