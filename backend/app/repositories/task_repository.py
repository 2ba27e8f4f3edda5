"""Reads and writes the logs of calls; no other module writes ``task_logs``.

The API stores rows by group commit, the worker in the statement that ends a record.
"""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from sqlalchemy import delete, func, insert, select
from sqlmodel import Session, col
from sqlmodel.ext.asyncio.session import AsyncSession

from app.core.database import to_json
from app.infrastructure.postgres.group_commit import Row
from app.infrastructure.rabbitmq import LogEvent
from app.models.database import TaskLog
from app.repositories.columns import written_columns
from app.repositories.pages import Page, Rows, read_page

COLUMNS = written_columns(TaskLog)
OF_EVENT = tuple(name for name in COLUMNS if name not in ("description", "owner"))

PRUNE_AT_ONCE = 10_000

# Stores the rows of the parameter ``logs`` once per row of ``{source}``.
_listed = ", ".join(COLUMNS)
INSERT_FROM_JSON = (
    f"INSERT INTO task_logs ({_listed}) SELECT {_listed} "  # nosec: of constants
    "FROM {source}, json_populate_recordset(NULL::task_logs, %(logs)s) AS log"
)


class TaskRepository:
    """Reads logs in the given session.

    New rows go through group commit: :meth:`row` only prepares one.
    """

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    @staticmethod
    def row(event: LogEvent, *, description: str | None) -> Row:
        """A new log row for group commit."""
        return Row(TaskLog, _values(event, description))

    async def get_page(self, page: Page, **equal: str | None) -> Rows[TaskLog]:
        """Newest first; the columns in ``equal`` must match, except those with None."""
        return await read_page(self._session, TaskLog, page, equal)


def logs_as_json(events: Sequence[LogEvent], description: str | None) -> str:
    """The parameter of INSERT_FROM_JSON."""
    rows = [_values(event, description) for event in events]
    return to_json([{**r, "created_at": r["created_at"].isoformat()} for r in rows])


def add_log(session: Session, event: LogEvent, description: str | None) -> None:
    """Store one row. The caller commits."""
    session.execute(insert(TaskLog), [_values(event, description)])


def count_logs(session: Session, task_id: str, status: str) -> int:
    """How many rows with that status a task has."""
    query = (
        select(func.count())
        .select_from(TaskLog)
        .where(col(TaskLog.task_id) == task_id, col(TaskLog.status) == status)
    )
    return int(session.execute(query).scalar_one())


def delete_old_logs(session: Session, age: timedelta) -> bool:
    """Delete some rows older than ``age``; False if there were none."""
    old = (
        select(col(TaskLog.id))
        .where(col(TaskLog.created_at) < func.now() - age)
        .order_by(col(TaskLog.id))
        .limit(PRUNE_AT_ONCE)
        .with_for_update(skip_locked=True)
    )
    query = delete(TaskLog).where(col(TaskLog.id).in_(old)).returning(col(TaskLog.id))
    return session.execute(query).first() is not None


def _values(event: LogEvent, description: str | None) -> dict[str, Any]:
    return {
        "description": description,
        "owner": event.principal,
        **{name: getattr(event, name) for name in OF_EVENT},
    }
