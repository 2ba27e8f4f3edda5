"""Asynchronous processing: the Celery side of ``POST /process-async``.

The record exists before the task does. A task ends it once, in one transaction
with the log rows of its call; running a second time changes nothing.
"""

import json
import logging
from typing import Any

from celery import Task, shared_task
from sqlalchemy import insert, update
from sqlmodel import Session, col

from app.core.database import to_json, translate_errors
from app.core.exceptions import (
    ApplicationError,
    DeadlineExceeded,
    Refused,
    Unavailable,
)
from app.core.request_id import current_request_id
from app.infrastructure.celery import PROCESS_DATA
from app.infrastructure.rabbitmq import LogEvent
from app.models.database import DataProcessingRecord, TaskLog
from app.models.schemas import TaskResult, TaskStatus
from app.repositories.task_repository import TaskRepository
from app.tasks.resources import get_resources

logger = logging.getLogger(__name__)

MAX_RETRIES = 5
LONGEST_BACKOFF = 60


@shared_task(bind=True, name=PROCESS_DATA, max_retries=MAX_RETRIES)
def process_data(
    self: Task[Any, Any], task_id: str, request: str, request_id: str
) -> str:
    """Have the data service process ``request``, and end the record of ``task_id``.

    ``request`` is the JSON text of payload and description: kombu's own JSON would
    take some objects in it for types of its own. Returns the JSON of a TaskResult.
    """
    current_request_id.set(request_id)
    events: list[LogEvent] = []
    resources = get_resources()
    try:
        content = json.loads(request)
        reply = resources.producer.call(
            resources.settings.data_queue_name,
            content,
            task_id=task_id,
            correlation_id=request_id,
            on_log_event=events.append,
        )
        status, outcome, task_type = TaskStatus.SUCCESS, reply.outcome, reply.task_type
        _end(task_id, status, outcome, task_type, content["description"], events)
    except (Unavailable, DeadlineExceeded) as error:
        if self.request.retries < MAX_RETRIES:
            delay = min(2**self.request.retries, LONGEST_BACKOFF)
            raise self.retry(exc=error, countdown=delay) from error
        status, outcome = TaskStatus.FAILURE, _reason(error)
        _end(task_id, status, outcome, None, content["description"], events)
    except Refused as error:
        status, outcome = TaskStatus.FAILURE, _reason(error)
        _end(task_id, status, outcome, None, content["description"], events)
    return to_json(
        TaskResult(task_id=task_id, task_status=status, outcome=outcome).model_dump()
    )


def _reason(error: ApplicationError) -> dict[str, Any]:
    return {"status": "failure", "code": error.code, "detail": error.detail}


def _end(
    task_id: str,
    status: TaskStatus,
    outcome: Any,
    task_type: str | None,
    description: str | None,
    events: list[LogEvent],
) -> None:
    """Write the final state, unless another run of the same task has done so."""
    query = (
        update(DataProcessingRecord)
        .where(
            col(DataProcessingRecord.task_id) == task_id,
            col(DataProcessingRecord.task_status) == TaskStatus.PROCESSING.value,
        )
        .values(task_status=status.value, outcome=outcome, task_type=task_type)
    )
    logs = [
        TaskRepository.row(event, description=description).values for event in events
    ]
    with translate_errors(), Session(get_resources().engine) as session:
        if session.execute(query).rowcount == 0:  # type: ignore[attr-defined]
            logger.info("Task %s has ended before, or its record is gone", task_id)
            return
        if logs:
            session.execute(insert(TaskLog), logs)
        session.commit()
