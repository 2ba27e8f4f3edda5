"""Reads and writes the processing records: nothing else writes their table.

The API works in an ``AsyncSession`` and stores new records by group commit. Tasks
work in a sync ``Session``, or give the driver one statement.
"""

import logging
from collections.abc import Collection, Sequence
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import JSON, ColumnElement, Engine, Text, cast, func
from sqlmodel import Session, col, delete, select
from sqlmodel.ext.asyncio.session import AsyncSession

from app.core.database import to_json, translate_errors
from app.core.exceptions import DatabaseUnavailable
from app.infrastructure.postgres.group_commit import Row
from app.infrastructure.rabbitmq import LogEvent
from app.models.database import DataProcessingRecord
from app.models.schemas import TaskStatus
from app.repositories.columns import written_columns
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

# Ends a record that has not ended. The condition on the status is that of not_ended().
END = """
UPDATE data_processing_records
SET task_status = %(task_status)s, outcome = %(outcome)s, task_type = %(task_type)s,
    updated_at = now()
WHERE task_id = %(task_id)s AND task_status NOT IN ('Success', 'Failure')
"""

# The same, and only then stores the log rows of its call: one round trip. Both go to
# the driver as they are, without a Session, which was a tenth of what a task takes.
END_AND_LOG = (
    f"WITH ended AS ({END} RETURNING id) {INSERT_FROM_JSON.format(source='ended')}"
)


@dataclass(frozen=True)
class StoredRecord:
    """A record of a page. Payload and outcome are the JSON texts that are stored: to
    parse and write all of them anew would hold up everything else."""

    id: int
    task_id: str
    queue_name: str | None
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
    """For records found by their id. Said this way, and not as ``= 'Processing'``, lest
    PostgreSQL reads the sweep's index instead: few are ``Processing`` as a rule, so it
    takes that for short, which in a backlog it is not."""
    ended = (TaskStatus.SUCCESS.value, TaskStatus.FAILURE.value)
    return col(DataProcessingRecord.task_status).not_in(ended)


class DataRepository:
    """Reads and deletes records in the session that it is given.

    New records go through group commit: :meth:`row` only prepares one.
    """

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    @staticmethod
    def row(*, task_id: str, task_status: TaskStatus, **values: Any) -> Row:
        """A new record, to be stored by group commit; ``values`` are of its columns."""
        return Row(
            DataProcessingRecord,
            EMPTY | {"task_id": task_id, "task_status": task_status.value} | values,
        )

    async def get_by_task_id(self, task_id: str) -> DataProcessingRecord | None:
        """The record of that task, if there is one."""
        query = select(DataProcessingRecord).where(
            DataProcessingRecord.task_id == task_id
        )
        return (await self._session.exec(query)).one_or_none()

    async def get_outcome(self, task_id: str) -> str | None:
        """The outcome of that task as the JSON text that is stored; None if there is no
        record."""
        text = cast(_columns["outcome"], Text)
        query = select(func.coalesce(text, "null")).where(
            DataProcessingRecord.task_id == task_id
        )
        return (await self._session.exec(query)).one_or_none()

    async def get_ended(self, task_ids: Collection[str]) -> Collection[str]:
        """Those of the tasks that are not ``Processing`` any more, or deleted."""
        query = select(DataProcessingRecord.task_id).where(
            col(DataProcessingRecord.task_id).in_(task_ids),
            not_ended(),
        )
        processing = (await self._session.exec(query)).all()
        return set(task_ids).difference(processing)

    async def get_page(self, page: Page, **equal: str | None) -> Rows[StoredRecord]:
        """Newest first; columns named in ``equal`` match, unless given None."""
        query = newest_first(DataProcessingRecord, page, equal, *STORED)
        rows: Rows[StoredRecord] = Rows()
        for *values, found in await in_time(self._session, query, page):
            rows.append(StoredRecord(*values))
            rows.has_more = found == page.limit or found > len(rows)
        return rows

    async def delete(self, task_id: str) -> bool:
        """Delete the record of that task; False if there is none. Does not commit."""
        query = delete(DataProcessingRecord).where(
            col(DataProcessingRecord.task_id) == task_id
        )
        return (await self._session.exec(query)).rowcount > 0


@dataclass(frozen=True)
class Ending:
    """The final state of a record."""

    status: TaskStatus
    outcome: Any
    task_type: str | None = None
    code: str | None = None  # of what went wrong


def failure(code: str, detail: str) -> Ending:
    """An ending in failure, with its reason for people and machines."""
    outcome = {"status": "failure", "code": code, "detail": detail}
    return Ending(TaskStatus.FAILURE, outcome, code=code)


def end_record(
    engine: Engine,
    task_id: str,
    ending: Ending,
    events: Sequence[LogEvent] = (),
    description: str | None = None,
) -> bool:
    """Write the final state, unless somebody has done so; whether this call did.

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
    except DatabaseUnavailable:  # a connection may just have been old
        changed = _execute(engine, statement, parameters)
    if changed:
        _ended.add(1, {"app.task.status": ending.status.value})
    else:
        logger.info("Task %s has ended before, or its record is gone", task_id)
    return changed


def _execute(engine: Engine, statement: str, parameters: dict[str, Any]) -> bool:
    with translate_errors(), engine.begin() as connection:
        return connection.exec_driver_sql(statement, parameters).rowcount > 0


def find_stale(session: Session, age: timedelta) -> list[str]:
    """The tasks that have been ``Processing`` for longer, the oldest first."""
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
    """Such a record, if it has not ended meanwhile and nobody else has locked it."""
    query = (
        select(DataProcessingRecord)
        .where(
            col(DataProcessingRecord.task_id) == task_id, not_ended(), _is_older(age)
        )
        .with_for_update(skip_locked=True)
    )
    return session.exec(query).one_or_none()


def delete_old_records(session: Session, age: timedelta) -> bool:
    """Delete some that ended before that; False if there were none. Their log rows
    have a retention of their own."""
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
    """Have its age begin anew, when its session is committed."""
    record.updated_at = func.now()  # type: ignore[assignment]


def _is_older(age: timedelta) -> ColumnElement[bool]:
    return col(DataProcessingRecord.updated_at) < func.now() - age
