"""The state of accepted work."""

from collections.abc import Collection

from app.core.budget import Budget
from app.core.database import Database
from app.core.exceptions import BrokerUnavailable, NotFound
from app.core.principal import Principal
from app.core.services import Service
from app.infrastructure.redis.task_states import TaskStates
from app.models.schemas import TaskState, TaskStatus
from app.repositories.data_repository import DataRepository
from app.services.task_watcher import TaskWatcher

# Celery's states as our words. Without a state, no worker has seen the task.
DETAILS = {None: "queued", "PENDING": "queued", "RETRY": "retrying"}


class TaskService:
    """One instance per process: a session is open only while a query runs."""

    def __init__(self, database: Database, states: TaskStates, budget: Budget) -> None:
        self._database = database
        self._budget = budget
        self._states = states
        self._watcher = TaskWatcher(self._find_ended)

    async def get_state(
        self, task_id: str, service: Service, principal: Principal, wait: float = 0
    ) -> TaskState:
        """The state; while ``Processing``, waits up to ``wait`` seconds for the end.

        The record is authoritative. Redis only adds detail, and may be down.

        Raises:
            NotFound: that service never accepted such work of this caller.
            DatabaseUnavailable: PostgreSQL did not answer.
        """
        state = await self._read(task_id, service, principal)
        if wait and state.task_status is TaskStatus.PROCESSING:
            await self._watcher.wait(task_id, wait)
            state = await self._read(task_id, service, principal)
        if state.task_status is TaskStatus.PROCESSING:
            return await self._with_detail(state)
        return state

    async def _read(
        self, task_id: str, service: Service, principal: Principal
    ) -> TaskState:
        async with self._budget.reading(), self._database.session() as session:
            records = DataRepository(session)
            record = await records.get_by_task_id(task_id, principal.sees)
        if record is None or not service.owns(record.queue_name):
            raise NotFound(f"No task has the id {task_id}.")
        return TaskState(
            task_id=task_id,
            task_status=TaskStatus(record.task_status),
            outcome=record.outcome,
        )

    async def _with_detail(self, state: TaskState) -> TaskState:
        try:
            known = await self._states.get(state.task_id)
        except BrokerUnavailable:
            return state
        detail = DETAILS.get(known, "started")
        return state.model_copy(update={"detail": detail})

    async def _find_ended(self, task_ids: Collection[str]) -> Collection[str]:
        async with self._database.session() as session:
            return await DataRepository(session).get_ended(task_ids)
