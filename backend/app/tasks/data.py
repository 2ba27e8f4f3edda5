"""Accepted work: the Celery side of ``POST /process-async`` of every service.

The record exists before the task. A task ends it exactly once, in one transaction with
the log rows of the call; running a task twice changes nothing.
"""

import json
import random
import time
from functools import partial
from typing import Any

from celery import Task, shared_task
from celery.exceptions import SoftTimeLimitExceeded
from celery.states import RETRY, STARTED, SUCCESS
from redis.exceptions import RedisError

from app.core.exceptions import DeadlineExceeded, Refused, Unavailable
from app.core.redis_settings import LONGEST_RETRY_DELAY
from app.core.services import UNNAMED
from app.infrastructure.celery import PROCESS_DATA
from app.infrastructure.rabbitmq import LogEvent
from app.infrastructure.redis.advice import advice
from app.models.schemas import TaskStatus
from app.repositories.data_repository import Ending, end_record, failure
from app.tasks.resources import get_worker_resources
from chassis.context import current_principal, current_request_id
from chassis.logs import log_work
from chassis.outages import Outage

_states = Outage("Redis, which keeps the states of tasks")


@shared_task(bind=True, name=PROCESS_DATA, autoretry_for=())  # it retries by itself
def process_accepted(
    self: Task[Any, Any],
    /,
    task_id: str,
    request: str,
    request_id: str,
    queue_name: str | None = None,
    principal: str | None = None,
    **_: Any,
) -> str:
    """Send ``request`` to a service, and end the record of ``task_id``.

    ``request`` is the JSON text of payload and description: kombu's own JSON would read
    some objects as its own types. ``queue_name`` is the service's queue; an older
    version of the API sends none, and a newer one may send more. ``principal`` is the
    caller. Returns the record's
    status.
    """
    began = time.perf_counter()
    current_request_id.set(request_id)
    current_principal.set(principal)
    events: list[LogEvent] = []
    content = json.loads(request)

    def end(ending: Ending) -> str:
        engine = get_worker_resources().autocommit
        end_record(engine, task_id, ending, events, content.get("description"))
        _note_state(self, SUCCESS, ending.status.value)
        report("Task ended", "ok" if ending.code is None else ending.code)
        return ending.status.value

    def report(message: str, outcome: str) -> None:
        log_work(message, queue_name, outcome, time.perf_counter() - began)

    try:
        return end(
            _call(
                queue_name,
                content,
                task_id=task_id,
                correlation_id=request_id,
                on_log_event=events.append,
                # Most tasks end soon; only a slow one gets the state STARTED.
                on_slow=partial(_note_state, self, STARTED),
            )
        )
    except (Unavailable, DeadlineExceeded, SoftTimeLimitExceeded) as error:
        retries = self.request.retries
        code = getattr(error, "code", "time_limit_exceeded")
        if retries < get_worker_resources().settings.celery.task_max_retries:
            _note_state(self, RETRY)
            report("Task will be retried", code)
            raise self.retry(exc=error, countdown=_delay(retries)) from error
        return end(failure(code, f"Given up after {retries + 1} attempts: {error}"))


def _call(queue_name: str | None, content: dict[str, Any], **options: Any) -> Ending:
    """The service's outcome; ``options`` go to the producer's call.

    Raises Unavailable or DeadlineExceeded if a retry may succeed.
    """
    resources = get_worker_resources()
    service = resources.settings.services.find_service(queue_name)
    if service is None:
        return unknown_service(queue_name)
    try:
        reply = resources.producer.call(service.queue, content, **options)
    except Refused as error:
        return failure(error.code, error.detail)
    return Ending(TaskStatus.SUCCESS, reply.outcome, reply.task_type)


def unknown_service(queue_name: str | None) -> Ending:
    """The failure of work whose service was removed, or whose queue was renamed."""
    which = f"has the queue {queue_name}" if queue_name else f"is named {UNNAMED}"
    return failure("unknown_service", f"No service of this deployment {which}.")


def _note_state(task: Task[Any, Any], state: str, result: str | None = None) -> None:
    """Write the state to Celery's result backend, for those who read it there. The
    record is authoritative: while Redis is down, only this detail is missing. This is
    one command; Celery would read first, and also publish."""
    backend: Any = task.backend
    key = backend.get_key_for_task(task.request.id)
    meta = backend.encode(
        {"task_id": task.request.id, "status": state, "result": result}
    )
    try:
        backend.client.execute_command("SET", key, meta, "EX", backend.expires)
    except RedisError as error:
        _states.lost(error, advice(error))
    else:
        _states.restored()


def _delay(retries: int) -> float:
    """Seconds until the next attempt: exponential, with jitter."""
    longest = min(2.0**retries, LONGEST_RETRY_DELAY)
    return longest * random.uniform(0.5, 1)  # nosec: not a secret
