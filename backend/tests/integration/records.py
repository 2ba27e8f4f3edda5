"""Records of accepted work; runs their tasks in this process."""

import json
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any
from uuid import uuid4

from celery.exceptions import Retry
from sqlmodel import Session, select

from app.models.database import DataProcessingRecord, TaskLog
from app.models.schemas import TaskStatus
from app.tasks.data import process_accepted
from app.tasks.resources import get_worker_resources


def its_queue() -> str:
    """The queue name of the only service."""
    (service,) = get_worker_resources().settings.services
    return service.queue


def add_record(age: timedelta = timedelta(), queue: str | None = "its") -> str:
    task_id = str(uuid4())
    queue = its_queue() if queue == "its" else queue
    with Session(get_worker_resources().engine) as session:
        session.add(
            DataProcessingRecord(
                task_id=task_id,
                queue_name=queue,
                payload={"a": 1},
                description="reverse",
                task_status=TaskStatus.PROCESSING.value,
                updated_at=datetime.now(UTC) - age,
            )
        )
        session.commit()
    return task_id


def find(task_id: str) -> DataProcessingRecord:
    query = select(DataProcessingRecord).where(DataProcessingRecord.task_id == task_id)
    with Session(get_worker_resources().engine) as session:
        return session.exec(query).one()


def logs(task_id: str) -> list[str]:
    query = select(TaskLog.status).where(TaskLog.task_id == task_id)
    with Session(get_worker_resources().engine) as session:
        return sorted(session.exec(query))


def run(task_id: str, content: Any = None, **more: Any) -> None:
    """Run the task as a worker does, but without pauses between attempts."""
    for number in count():
        try:
            attempt(task_id, number, content, **more)
            return
        except Retry:
            continue


def attempt(task_id: str, number: int, content: Any = None, **more: Any) -> None:
    """Run the task once; the first run has the number 0."""
    request = json.dumps(content or {"payload": 1, "description": None})
    arguments = {"task_id": task_id, "request": request, "request_id": "r"}
    arguments |= {"queue_name": its_queue()} | more
    process_accepted.apply(
        kwargs=arguments, task_id=task_id, retries=number, throw=True
    )
