"""The state of accepted work, as the endpoints of a service show it."""

from uuid import uuid4

import pytest

from app.core.budget import Budget
from app.core.database import Database
from app.core.exceptions import NotFound
from app.core.principal import EVERYBODY
from app.core.redis_settings import CelerySettings
from app.core.services import Service
from app.infrastructure.postgres.group_commit import GroupCommit
from app.infrastructure.redis.task_states import TaskStates
from app.models.schemas import TaskStatus
from app.repositories.data_repository import DataRepository
from app.services.task_service import TaskService

ECHO, OTHER = Service("echo", "echo_queue"), Service("other", "other_queue")
DATA = Service("data", "data_queue")


@pytest.mark.promise("docs/TASKS.md", "returns 404 for work of another service")
@pytest.mark.promise("ARCHITECTURE.md", "and only finds work of its own service")
async def test_only_its_own_service_shows_work(
    database: Database, commits: GroupCommit
) -> None:
    named, unnamed = str(uuid4()), str(uuid4())
    rows = [
        DataRepository.row(
            task_id=task_id, task_status=TaskStatus.SUCCESS, queue_name=queue
        )
        for task_id, queue in ((named, ECHO.queue), (unnamed, None))
    ]
    await commits.add(rows)
    tasks = TaskService(database, TaskStates(CelerySettings()), Budget(2**20))

    for task_id, service in ((named, ECHO), (unnamed, DATA)):
        state = await tasks.get_state(task_id, service, EVERYBODY)
        assert state.task_status is TaskStatus.SUCCESS
    for task_id, service in ((named, OTHER), (named, DATA), (unnamed, ECHO)):
        with pytest.raises(NotFound):
            await tasks.get_state(task_id, service, EVERYBODY)
