"""Periodic tasks of Celery beat: find lost work, forget old logs."""

import json
import logging
import time
from datetime import timedelta
from typing import Any

from celery import Task, shared_task
from sqlalchemy import delete, func, insert, select
from sqlmodel import Session, col

from app.core import tracing
from app.core.database import to_json, translate_errors
from app.infrastructure.celery import HIDDEN, PRUNE_LOGS, QUEUES, SWEEP
from app.infrastructure.rabbitmq import LogEvent
from app.models.database import DataProcessingRecord, TaskLog
from app.models.schemas import TaskStatus
from app.repositories.data_repository import not_ended
from app.repositories.task_repository import TaskRepository
from app.tasks.data import process_data
from app.tasks.records import end_record, failure
from app.tasks.resources import get_resources

logger = logging.getLogger(__name__)

# Status of the log row that a sweep leaves for each record that it publishes again.
REPUBLISHED = "republished"

_lost = tracing.meter.create_counter(
    "app.sweep.lost_tasks",
    unit="{task}",
    description="Lost tasks that the sweep found: published again, or given up.",
)

# A worker is given a task, and notes a round trip later that it holds it: who looks
# in between sees it nowhere, and looks again after so many seconds.
LOOKS, BETWEEN_LOOKS = 2, 0.5

AT_ONCE = 500
LONGEST_BACKLOG = 20_000
PRUNE_AT_ONCE = 10_000


@shared_task(bind=True, name=SWEEP, ignore_result=True)
def sweep(self: Task[Any, Any]) -> None:
    """Publish again the records that wait for long and that Celery knows no more.

    Redis may lose a task: flushed, restored from an old file, or with a worker that
    is killed between being given it and noting that. The record knows better.
    """
    settings = get_resources().settings.celery
    lost = _find_waiting(settings.sweep_after_seconds)
    for look in range(LOOKS):
        if not lost:
            return
        if look:
            time.sleep(BETWEEN_LOOKS)
        known = _known_to_celery(self)
        if known is None:
            return  # a long backlog: nothing can be said to be lost
        lost = [task_id for task_id in lost if task_id not in known]
    for task_id in lost:
        _publish_again(task_id, settings.sweep_after_seconds)


def _older(seconds: float) -> Any:
    age = timedelta(seconds=seconds)
    return col(DataProcessingRecord.updated_at) < func.now() - age


def _find_waiting(seconds: float) -> list[str]:
    query = (
        select(col(DataProcessingRecord.task_id))
        .where(
            col(DataProcessingRecord.task_status) == TaskStatus.PROCESSING.value,
            _older(seconds),
        )
        .order_by(col(DataProcessingRecord.updated_at))
        .limit(AT_ONCE)
    )
    with translate_errors(), Session(get_resources().engine) as session:
        return list(session.execute(query).scalars())


def _known_to_celery(task: Task[Any, Any]) -> set[str] | None:
    """Ids of tasks that are queued, running or waiting for a retry; None if many."""
    with task.app.connection_for_write() as connection:
        channel: Any = connection.default_channel
        redis = channel.client
        if sum(redis.llen(queue) for queue in QUEUES) > LONGEST_BACKLOG:
            return None
        messages = [m for queue in QUEUES for m in redis.lrange(queue, 0, -1)]
        # kombu keeps [message, exchange, routing key] of what workers hold.
        messages += [json.loads(held)[0] for held in redis.hvals(channel.unacked_key)]
    ids = set()
    for message in messages:
        content = json.loads(message) if isinstance(message, bytes | str) else message
        ids.add(content["headers"]["id"])
    return ids


def _publish_again(task_id: str, seconds: float) -> None:
    """Note it, commit, publish: another sweep at the same time passes the row over."""
    resources = get_resources()
    lost = (
        select(DataProcessingRecord)
        .where(
            col(DataProcessingRecord.task_id) == task_id,
            not_ended(),
            _older(seconds),
        )
        .with_for_update(skip_locked=True)
    )
    attempts = (
        select(func.count())
        .select_from(TaskLog)
        .where(col(TaskLog.task_id) == task_id, col(TaskLog.status) == REPUBLISHED)
    )
    queue = resources.settings.data_queue_name
    event = LogEvent(REPUBLISHED, queue, task_id, f"sweep-{task_id}")
    with translate_errors(), Session(resources.engine) as session:
        record = session.execute(lost).scalar_one_or_none()
        if record is None:
            return  # ended meanwhile, or another sweep has it
        times = session.execute(attempts).scalar_one()
        content = {"payload": record.payload, "description": record.description}
        priority, parent = record.priority, record.traceparent
        give_up = times >= resources.settings.celery.sweep_publish_limit
        if not give_up:
            record.updated_at = func.now()
            row = TaskRepository.row(event, description=record.description)
            session.execute(insert(TaskLog), [row.values])
        session.commit()
    _lost.add(1, {"app.sweep.outcome": "given_up" if give_up else REPUBLISHED})
    if give_up:
        ending = failure("lost", f"The task was lost, or hung, {times + 1} times.")
        end_record(resources.engine, task_id, ending)
        logger.error("Task %s has failed: it was lost %d times", task_id, times + 1)
    else:
        arguments = {
            "task_id": task_id,
            "request": to_json(content),
            "request_id": event.correlation_id,
        }
        with tracing.continued(parent):
            process_data.apply_async(
                kwargs=arguments, task_id=task_id, queue=priority, **HIDDEN
            )
        logger.warning("Task %s was lost and is published again", task_id)


@shared_task(name=PRUNE_LOGS, ignore_result=True)
def prune_logs() -> None:
    """Delete log rows that are older than the retention, some at a time."""
    resources = get_resources()
    age = timedelta(days=resources.settings.celery.log_retention_days)
    old = (
        select(col(TaskLog.id))
        .where(col(TaskLog.created_at) < func.now() - age)
        .order_by(col(TaskLog.id))
        .limit(PRUNE_AT_ONCE)
        .with_for_update(skip_locked=True)
    )
    query = delete(TaskLog).where(col(TaskLog.id).in_(old)).returning(col(TaskLog.id))
    with translate_errors(), Session(resources.engine) as session:
        while session.execute(query).first() is not None:
            session.commit()
