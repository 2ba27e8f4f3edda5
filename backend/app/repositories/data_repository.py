"""Reads and writes the processing records; no other module writes their table.

The API uses an ``AsyncSession`` and stores new records by group commit. Tasks use a
sync ``Session``, or pass one statement to the driver.
"""

import logging
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from secrets import token_urlsafe
from typing import Any
from uuid import uuid4

from sqlalchemy import JSON, ColumnElement, Engine, Text, cast, func
from sqlmodel import Session, col, delete, select
from sqlmodel.ext.asyncio.session import AsyncSession

from app.core.database import to_json, translate_errors
from app.core.exceptions import DatabaseBusy, DatabaseUnavailable
from app.infrastructure.postgres.group_commit import Row
from app.infrastructure.rabbitmq import LogEvent
from app.models.database import DataProcessingRecord
from app.models.schemas import TaskStatus
from app.repositories.columns import written_columns
from app.repositories.event_repository import name_cause
from app.repositories.pages import Page, Rows, in_time, newest_first
from app.repositories.task_repository import INSERT_FROM_JSON, logs_as_json
from chassis.telemetry import tracing

logger = logging.getLogger(__name__)

_ended = tracing.meter.create_counter(
    "app.tasks.ended",
    unit="{task}",
    description="Accepted work that has ended, by its status.",
)

COLUMNS = written_columns(DataProcessingRecord, "created_at", "updated_at")
EMPTY = dict.fromkeys(COLUMNS)

STALE_AT_ONCE = 500
PRUNE_AT_ONCE = 1_000
TRIAL_BYTES = 64 * 1024

# Ends a record that has not ended. Its status condition matches not_ended().
END = """
UPDATE data_processing_records
SET task_status = %(task_status)s, outcome = %(outcome)s, task_type = %(task_type)s,
    updated_at = now()
WHERE task_id = %(task_id)s AND task_status NOT IN ('Success', 'Failure')
"""

# Does the same, and if the record ended now, stores the log rows of its call in the
# same round trip. Both statements bypass the Session, which took a tenth of a task's
# time.
END_AND_LOG = (
    f"WITH ended AS ({END} RETURNING id) {INSERT_FROM_JSON.format(source='ended')}"
)


@dataclass(frozen=True)
class StoredRecord:
    """A record of a page. Payload and outcome stay JSON text as stored: parsing and
    writing them again would block other requests."""

    id: int
    task_id: str
    queue_name: str | None
    owner: str | None
    payload: str | None
    description: str | None
    task_type: str | None
    task_status: str
    outcome: str | None
    created_at: datetime
    updated_at: datetime


_columns = DataProcessingRecord.__table__.columns  # type: ignore[attr-defined]
STORED = [
    cast(column, Text) if isinstance(column.type, JSON) else column
    for column in (_columns[field.name] for field in fields(StoredRecord))
]


def not_ended() -> ColumnElement[bool]:
    """A filter for records found by id. It is not written ``= 'Processing'``:
    PostgreSQL would then use the sweep's index, because it expects few such rows. In a
    backlog there are many."""
    ended = (TaskStatus.SUCCESS.value, TaskStatus.FAILURE.value)
    return col(DataProcessingRecord.task_status).not_in(ended)


class DataRepository:
    """Reads and deletes records in the given session.

    New records go through group commit: :meth:`row` only prepares one.
    """

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    @staticmethod
    def row(*, task_id: str, task_status: TaskStatus, **values: Any) -> Row:
        """A new record for group commit; ``values`` are its columns."""
        return Row(
            DataProcessingRecord,
            EMPTY | {"task_id": task_id, "task_status": task_status.value} | values,
        )

    async def try_to_write(self) -> None:
        """Insert a row, which the session's end rolls back.

        It is large and cannot be compressed: on a full disk, small rows still fit in
        pages that have space.
        """
        row = self.row(
            task_id=str(uuid4()),
            task_status=TaskStatus.SUCCESS,
            payload=token_urlsafe(TRIAL_BYTES),
        )
        self._session.add(row.table(**row.values))
        await self._session.flush()

    async def get_by_task_id(
        self, task_id: str, owner: str | None = None
    ) -> DataProcessingRecord | None:
        """The record of that task, or None; with ``owner`` only theirs."""
        query = select(DataProcessingRecord).where(*_named(task_id, owner))
        return (await self._session.exec(query)).one_or_none()

    async def get_outcome(self, task_id: str) -> str | None:
        """The outcome of that task as stored JSON text; None if there is no record."""
        text = cast(_columns["outcome"], Text)
        query = select(func.coalesce(text, "null")).where(
            DataProcessingRecord.task_id == task_id
        )
        return (await self._session.exec(query)).one_or_none()

    async def get_ended(self, task_ids: Collection[str]) -> Collection[str]:
        """The given tasks that are no longer ``Processing`` or were deleted."""
        query = select(DataProcessingRecord.task_id).where(
            col(DataProcessingRecord.task_id).in_(task_ids),
            not_ended(),
        )
        processing = (await self._session.exec(query)).all()
        return set(task_ids).difference(processing)

    async def get_page(self, page: Page, **equal: str | None) -> Rows[StoredRecord]:
        """Newest first; the columns in ``equal`` must match, except those with None."""
        query = newest_first(DataProcessingRecord, page, equal, *STORED)
        rows: Rows[StoredRecord] = Rows()
        for *values, found in await in_time(self._session, query, page):
            rows.append(StoredRecord(*values))
            rows.has_more = found == page.limit or found > len(rows)
        return rows

    async def delete(self, task_id: str, owner: str | None = None) -> bool:
        """Delete the record of that task; False if there is none. Does not commit."""
        await name_cause(self._session)
        query = delete(DataProcessingRecord).where(*_named(task_id, owner))
        return (await self._session.exec(query)).rowcount > 0


def _named(task_id: str, owner: str | None) -> Iterator[ColumnElement[bool]]:
    yield col(DataProcessingRecord.task_id) == task_id
    if owner is not None:
        yield col(DataProcessingRecord.owner) == owner


@dataclass(frozen=True)
class Ending:
    """The final state of a record."""

    status: TaskStatus
    outcome: Any
    task_type: str | None = None
    code: str | None = None  # the error code of a failure


def failure(code: str, detail: str) -> Ending:
    """A failed ending, with its reason for people and programs."""
    outcome = {"status": "failure", "code": code, "detail": detail}
    return Ending(TaskStatus.FAILURE, outcome, code=code)


def end_record(
    engine: Engine,
    task_id: str,
    ending: Ending,
    events: Sequence[LogEvent] = (),
    description: str | None = None,
) -> bool:
    """Write the final state unless the record has ended; returns whether it did.

    Raises:
        DatabaseUnavailable: PostgreSQL did not answer.
    """
    outcome = ending.outcome
    parameters = {
        "task_id": task_id,
        "task_status": ending.status.value,
        "outcome": None if outcome is None else to_json(outcome),
        "task_type": ending.task_type,
        "logs": logs_as_json(events, description),
    }
    statement = END_AND_LOG if events else END
    try:
        changed = _execute(engine, statement, parameters)
    except (DatabaseUnavailable, DatabaseBusy):  # often for a moment only
        changed = _execute(engine, statement, parameters)
    if changed:
        _ended.add(1, {"app.task.status": ending.status.value})
    else:
        logger.info("Task %s has already ended, or its record was deleted", task_id)
    return changed


def _execute(engine: Engine, statement: str, parameters: dict[str, Any]) -> bool:
    with translate_errors(), engine.begin() as connection:
        return connection.exec_driver_sql(statement, parameters).rowcount > 0


def find_stale(session: Session, age: timedelta) -> list[str]:
    """The tasks that have been ``Processing`` for longer than ``age``, oldest first."""
    query = (
        select(DataProcessingRecord.task_id)
        .where(
            col(DataProcessingRecord.task_status) == TaskStatus.PROCESSING.value,
            _is_older(age),
        )
        .order_by(col(DataProcessingRecord.updated_at))
        .limit(STALE_AT_ONCE)
    )
    return list(session.exec(query))


def lock_stale(
    session: Session, task_id: str, age: timedelta
) -> DataProcessingRecord | None:
    """The record if it is still stale, locked; None if it ended or is locked
    elsewhere."""
    query = (
        select(DataProcessingRecord)
        .where(
            col(DataProcessingRecord.task_id) == task_id, not_ended(), _is_older(age)
        )
        .with_for_update(skip_locked=True)
    )
    return session.exec(query).one_or_none()


def delete_old_records(session: Session, age: timedelta) -> bool:
    """Delete some records that ended before that; False if there were none. Their log
    rows have their own retention."""
    old = (
        select(DataProcessingRecord.id)
        .where(col(DataProcessingRecord.created_at) < func.now() - age, ~not_ended())
        .order_by(col(DataProcessingRecord.id))
        .limit(PRUNE_AT_ONCE)
        .with_for_update(skip_locked=True)
    )
    key = col(DataProcessingRecord.id)
    query = delete(DataProcessingRecord).where(key.in_(old)).returning(key)
    return session.execute(query).first() is not None


def refresh_record(record: DataProcessingRecord) -> None:
    """Restart the record's age, when its session commits."""
    record.updated_at = func.now()  # type: ignore[assignment]


def _is_older(age: timedelta) -> ColumnElement[bool]:
    return col(DataProcessingRecord.updated_at) < func.now() - age
