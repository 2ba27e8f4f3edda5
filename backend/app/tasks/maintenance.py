"""Periodic tasks of Celery beat: find lost work, delete old rows."""

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta

from celery import shared_task
from kombu.exceptions import KombuError
from redis.exceptions import RedisError
from sqlmodel import Session

from app.core.config import Settings
from app.core.database import to_json, translate_errors
from app.core.exceptions import DatabaseBusy, DatabaseUnavailable
from app.core.redis_settings import CelerySettings
from app.infrastructure.celery import QUEUES
from app.infrastructure.rabbitmq import LogEvent
from app.infrastructure.redis.advice import advice
from app.infrastructure.task_lists import TaskLists
from app.infrastructure.task_publisher import accepted_work
from app.models.schemas import Priority
from app.repositories.data_repository import (
    Ending,
    delete_old_records,
    end_record,
    failure,
    find_stale,
    lock_stale,
    refresh_record,
)
from app.repositories.task_repository import add_log, count_logs, delete_old_logs
from app.tasks.data import process_accepted, unknown_service
from app.tasks.resources import get_worker_resources
from app.tasks.scheduling import DAY, scheduled
from chassis.outages import Outage
from chassis.telemetry import tracing

logger = logging.getLogger(__name__)

# Status of the log row that a sweep adds when it publishes a record again.
REPUBLISHED = "republished"

_lost = tracing.meter.create_counter(
    "app.sweep.lost_tasks",
    unit="{task}",
    description="Lost tasks that the sweep found: published again, or given up.",
)

# A worker takes a task from its queue, and only one round trip later marks it as taken.
# In between the task is in neither place, so the sweep looks again after a pause.
LOOKS, BETWEEN_LOOKS = 2, 0.5

LONGEST_BACKLOG = 20_000


def _pruning_interval(settings: Settings) -> float:
    return min(DAY, settings.celery.log_retention_days * DAY / 10)


_redis = Outage("Redis, in which the sweep looks")


@contextmanager
def servers_needed() -> Iterator[None]:
    """A periodic task skips a run while its servers are down; the outage is already
    logged."""
    try:
        yield
        _redis.restored()
    except (DatabaseUnavailable, DatabaseBusy):
        pass
    except (KombuError, RedisError, OSError) as error:
        _redis.lost(error, advice(error))


@scheduled(lambda settings: settings.celery.sweep_every_seconds, queue="high")
@shared_task(autoretry_for=())  # the next sweep is soon due
@servers_needed()
def sweep() -> None:
    """Publish old records again that Celery no longer knows.

    Redis may lose a task: it is flushed, restored from an old file, or a worker is
    killed after it took the task and before it marked it. The record survives.
    """
    resources = get_worker_resources()
    age = timedelta(seconds=resources.settings.celery.sweep_after_seconds)
    with translate_errors(), Session(resources.engine) as session:
        lost = find_stale(session, age)
    for look in range(LOOKS):
        if not lost:
            return
        if look:
            time.sleep(BETWEEN_LOOKS)
        known = _known_to_celery(resources.settings.celery)
        if known is None:
            return  # a long backlog: do not call any task lost
        lost = [task_id for task_id in lost if task_id not in known]
    for task_id in lost:
        _treat_lost(task_id, age)


def _known_to_celery(settings: CelerySettings) -> set[str] | None:
    """The ids of tasks that are queued, running or waiting for a retry; None if too
    many."""
    with TaskLists(settings) as lists:
        if sum(map(lists.count_waiting, QUEUES)) > LONGEST_BACKLOG:
            return None
        return {message["headers"]["id"] for message in lists.read_messages()}


def _treat_lost(task_id: str, age: timedelta) -> None:
    """Log it, publish, commit; a concurrent sweep skips the locked row."""
    resources = get_worker_resources()
    settings = resources.settings
    with translate_errors(), Session(resources.engine) as session:
        record = lock_stale(session, task_id, age)
        if record is None:
            return  # ended meanwhile, or another sweep has it
        service = settings.services.find_service(record.queue_name)
        if service is None:
            _end_lost(task_id, unknown_service(record.queue_name), session)
            return
        times = count_logs(session, task_id, REPUBLISHED)
        if times >= settings.celery.sweep_publish_limit:
            lost = f"The task was lost, or hung, {times + 1} times."
            _end_lost(task_id, failure("lost", lost), session)
            return
        content = {"payload": record.payload, "description": record.description}
        priority = record.priority or Priority.DEFAULT.value
        parent = record.traceparent
        event = LogEvent(
            REPUBLISHED,
            service.queue,
            task_id,
            f"sweep-{task_id}",
            principal=record.owner,
        )
        add_log(session, event, record.description)
        refresh_record(record)
        message = accepted_work(
            task_id,
            to_json(content),
            event.correlation_id,
            service.queue,
            priority,
            record.owner,
        )
        with tracing.continued(parent):
            process_accepted.apply_async(
                kwargs=dict(message.arguments), task_id=task_id, queue=message.queue
            )
        session.commit()  # a Redis that refuses the task does not count as an attempt
    _lost.add(1, {"app.sweep.outcome": REPUBLISHED})
    logger.warning("Task %s was lost; published it again", task_id)


def _end_lost(task_id: str, ending: Ending, session: Session) -> None:
    session.rollback()  # releases the row
    end_record(get_worker_resources().engine, task_id, ending)
    _lost.add(1, {"app.sweep.outcome": "given_up"})
    logger.error("Gave up task %s: %s", task_id, ending.outcome["detail"])


@scheduled(_pruning_interval, queue="low")
@shared_task
@servers_needed()
def prune_logs() -> None:
    """Delete rows older than their retention, some at a time."""
    settings = get_worker_resources().settings
    prune(delete_old_logs, settings.celery.log_retention_days)
    if settings.record_retention_days is not None:
        prune(delete_old_records, settings.record_retention_days)


def prune(delete_some: Callable[[Session, timedelta], bool], days: float) -> None:
    """Delete rows of that age in portions, each in a transaction of its own."""
    with translate_errors(), Session(get_worker_resources().engine) as session:
        while delete_some(session, timedelta(days=days)):
            session.commit()
