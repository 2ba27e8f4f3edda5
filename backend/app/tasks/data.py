"""Asynchronous processing: the Celery side of ``POST /process-async``.

The record exists before the task does. Whoever ends it does so once, in one
transaction with the log rows of the call; running a second time changes nothing.
"""

import json
import logging
import random
from typing import Any

from celery import Task, shared_task
from celery.exceptions import SoftTimeLimitExceeded
from celery.states import RETRY, STARTED
from redis.exceptions import RedisError

from app.core.config import LONGEST_RETRY_DELAY
from app.core.exceptions import DeadlineExceeded, Refused, Unavailable
from app.core.request_id import current_request_id
from app.infrastructure.celery import PROCESS_DATA
from app.infrastructure.rabbitmq import LogEvent
from app.models.schemas import TaskStatus
from app.tasks.records import Ending, end_record, failure
from app.tasks.resources import get_resources

logger = logging.getLogger(__name__)


@shared_task(bind=True, name=PROCESS_DATA)
def process_data(
    self: Task[Any, Any], task_id: str, request: str, request_id: str
) -> str:
    """Have the data service process ``request``, and end the record of ``task_id``.

    ``request`` is the JSON text of payload and description: kombu's own JSON would
    take some objects in it for types of its own. Returns the record's status.
    """
    current_request_id.set(request_id)
    events: list[LogEvent] = []
    content = json.loads(request)

    def note(event: LogEvent) -> None:
        events.append(event)
        if event.status == "start":  # told while the call is under way
            _note_state(self, STARTED)

    resources = get_resources()
    try:
        try:
            reply = resources.producer.call(
                resources.settings.data_queue_name,
                content,
                task_id=task_id,
                correlation_id=request_id,
                on_log_event=note,
            )
            ending = Ending(TaskStatus.SUCCESS, reply.outcome, reply.task_type)
        except Refused as error:
            ending = failure(error.code, error.detail)
        end_record(
            resources.autocommit, task_id, ending, events, content["description"]
        )
    except (Unavailable, DeadlineExceeded, SoftTimeLimitExceeded) as error:
        retries = self.request.retries
        if retries < resources.settings.celery.task_max_retries:
            _note_state(self, RETRY)
            raise self.retry(exc=error, countdown=_delay(retries)) from error
        ending = failure(
            getattr(error, "code", "time_limit_exceeded"),
            f"Given up after {retries + 1} attempts: {error}",
        )
        end_record(
            resources.autocommit, task_id, ending, events, content["description"]
        )
    return ending.status.value


def _note_state(task: Task[Any, Any], state: str) -> None:
    """Keep the state for whoever asks meanwhile. It only adds detail to the record: a
    Redis that is away costs that, and no more."""
    backend: Any = task.backend
    key = backend.get_key_for_task(task.request.id)
    meta = backend.encode({"task_id": task.request.id, "status": state})
    try:
        backend.client.set(key, meta, ex=backend.expires)
    except RedisError as error:
        logger.warning("Redis did not take the state of a task: %r", error)


def _delay(retries: int) -> float:
    """Seconds until the next attempt: exponential, with jitter."""
    longest = min(2.0**retries, LONGEST_RETRY_DELAY)
    return longest * random.uniform(0.5, 1)  # nosec: no secret
