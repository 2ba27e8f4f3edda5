"""Access to the processing records."""

from collections.abc import Collection
from typing import Any

from sqlalchemy import ColumnElement
from sqlmodel import col, delete, select
from sqlmodel.ext.asyncio.session import AsyncSession

from app.core.group_commit import Row
from app.models.database import DataProcessingRecord
from app.models.schemas import TaskStatus
from app.repositories.pages import Page, newest_first


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
    def row(
        *,
        task_id: str,
        payload: Any,
        description: str | None,
        task_status: TaskStatus,
        task_type: str | None = None,
        outcome: Any = None,
        priority: str | None = None,
        traceparent: str | None = None,
    ) -> Row:
        """A new record, to be stored by group commit."""
        values = {
            "task_id": task_id,
            "payload": payload,
            "description": description,
            "task_type": task_type,
            "task_status": task_status.value,
            "outcome": outcome,
            "priority": priority,
            "traceparent": traceparent,
        }
        return Row(DataProcessingRecord, values)

    async def get_by_task_id(self, task_id: str) -> DataProcessingRecord | None:
        """The record of that task, if there is one."""
        query = select(DataProcessingRecord).where(
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

    async def get_page(
        self, page: Page, **equal: str | None
    ) -> list[DataProcessingRecord]:
        """Newest first; columns named in ``equal`` match, unless given None."""
        query = newest_first(DataProcessingRecord, page, equal)
        return list(await self._session.exec(query))

    async def delete(self, task_id: str) -> bool:
        """Delete the record of that task; False if there is none. Does not commit."""
        query = delete(DataProcessingRecord).where(
            col(DataProcessingRecord.task_id) == task_id
        )
        return (await self._session.exec(query)).rowcount > 0
