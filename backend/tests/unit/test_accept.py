"""The order in which accepted work is stored and published."""

import asyncio
from typing import Any

import pytest

from app.core.exceptions import (
    AlreadyStored,
    BrokerUnavailable,
    DatabaseUnavailable,
)
from app.core.services import Service
from app.infrastructure.task_publisher import TaskMessage
from app.models.database import DataProcessingRecord
from app.models.schemas import AsyncDataRequest, Priority, TaskStatus
from app.services.data_service import DataService


class Recorder:
    """Both places where accepted work goes; the database commits when told to."""

    def __init__(self, error: Exception | None = None) -> None:
        self.committed = asyncio.Event()
        self.error = error
        self.rows: list[Any] = []
        self.published: list[TaskMessage] = []

    async def add(self, rows: list[Any]) -> None:
        self.rows += rows
        await self.committed.wait()
        if self.error:
            raise self.error

    async def publish(self, message: TaskMessage) -> None:
        self.published.append(message)


def accept(recorder: Any) -> asyncio.Task[Any]:
    service = DataService(
        Service("data", "data_queue"),
        producer=recorder,
        publisher=recorder,
        database=recorder,
        commits=recorder,
        tasks=recorder,
    )
    return asyncio.create_task(
        service.accept(AsyncDataRequest(payload=1, priority=Priority.HIGH))
    )


async def test_work_is_accepted_while_no_broker_takes_its_task() -> None:
    class Away(Recorder):
        async def publish(self, message: TaskMessage) -> None:
            raise BrokerUnavailable("gone")

    recorder = Away()
    recorder.committed.set()
    assert (await accept(recorder)).task_status is TaskStatus.PROCESSING
    (row,) = recorder.rows
    assert row.values["priority"] == "high"  # with which the sweep publishes it


async def turns(count: int = 20) -> None:
    """Let all tasks go as far as they can."""
    for _ in range(count):
        await asyncio.sleep(0)


@pytest.mark.promise(
    "docs/adr/0004-record-before-task.md",
    "The API commits the record as `Processing`, publishes the task under the record's "
    "id, then responds 202.",
)
@pytest.mark.promise(
    "docs/TASKS.md",
    "`POST /api/v1/<service>/process-async` responds 202 once the record "
    "(`Processing`) is committed.",
)
async def test_nothing_is_published_or_answered_before_the_commit() -> None:
    recorder = Recorder()
    accepting = accept(recorder)
    await turns()
    (record,) = recorder.rows
    assert record.table is DataProcessingRecord
    assert record.values["task_status"] == TaskStatus.PROCESSING
    assert recorder.published == [] and not accepting.done()
    recorder.committed.set()
    answer = await accepting
    (message,) = recorder.published
    assert message.task_id == record.values["task_id"] == answer.task_id


@pytest.mark.promise(
    "SEQUENCE-DIAGRAMS.md", "503 database_unavailable: not accepted, not published"
)
async def test_what_is_not_stored_is_not_published() -> None:
    recorder = Recorder(DatabaseUnavailable("The database is away."))
    recorder.committed.set()
    with pytest.raises(DatabaseUnavailable):
        await accept(recorder)
    assert recorder.published == []


async def test_what_is_stored_already_is_published_again() -> None:
    """The first process may have died between the two."""
    recorder = Recorder(AlreadyStored("It is there."))
    recorder.committed.set()
    await accept(recorder)
    assert len(recorder.published) == 1
