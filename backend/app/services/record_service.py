"""Stored records and the logs of calls."""

from app.core.exceptions import NotFound
from app.core.principal import Principal
from app.models.database import DataProcessingRecord, TaskLog
from app.repositories.data_repository import DataRepository, StoredRecord
from app.repositories.pages import Page, Rows
from app.repositories.task_repository import TaskRepository


class RecordService:
    """Reads and deletes what the caller may see. One instance per request, over its
    session."""

    def __init__(
        self, records: DataRepository, logs: TaskRepository, principal: Principal
    ) -> None:
        self._owner = principal.sees
        self._records = records
        self._logs = logs

    async def get_processing_records(
        self, page: Page, **equal: str | None
    ) -> Rows[StoredRecord]:
        """Newest first; the columns in ``equal`` must match, except those with None."""
        return await self._records.get_page(page, owner=self._owner, **equal)

    async def get_task_logs(self, page: Page, **equal: str | None) -> Rows[TaskLog]:
        """Newest first; the columns in ``equal`` must match, except those with None."""
        return await self._logs.get_page(page, owner=self._owner, **equal)

    async def get_record(self, task_id: str) -> DataProcessingRecord:
        """The record with that id; raises NotFound if there is none."""
        record = await self._records.get_by_task_id(task_id, self._owner)
        if record is None:
            raise NotFound(f"No record has the id {task_id}.")
        return record

    async def delete_record(self, task_id: str) -> None:
        """Delete that record; raises NotFound if there is none. The edge commits."""
        if not await self._records.delete(task_id, self._owner):
            raise NotFound(f"No record has the id {task_id}.")
