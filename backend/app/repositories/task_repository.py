"""Access to the logs of calls."""

from sqlmodel.ext.asyncio.session import AsyncSession

from app.core.group_commit import Row
from app.infrastructure.rabbitmq import LogEvent
from app.models.database import TaskLog
from app.repositories.pages import Page, newest_first


class TaskRepository:
    """Reads logs in the session that it is given.

    New rows go through group commit: :meth:`row` only prepares one.
    """

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    @staticmethod
    def row(event: LogEvent, *, description: str | None) -> Row:
        """A new log row, to be stored by group commit."""
        values = {
            "task_id": event.task_id,
            "correlation_id": event.correlation_id,
            "queue_name": event.queue_name,
            "service_name": event.service_name,
            "task_type": event.task_type,
            "description": description,
            "status": event.status,
            "created_at": event.created_at,
        }
        return Row(TaskLog, values)

    async def get_page(self, page: Page, **equal: str | None) -> list[TaskLog]:
        """Newest first; columns named in ``equal`` match, unless given None."""
        return list(await self._session.exec(newest_first(TaskLog, page, equal)))
