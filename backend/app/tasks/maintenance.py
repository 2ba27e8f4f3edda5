"""Periodic tasks of Celery beat: find lost work, forget old logs."""

import json
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from itertools import count
from typing import Any

from celery import Task, shared_task
from kombu.exceptions import KombuError
from redis.exceptions import RedisError
from sqlmodel import Session

from app.core.config import Settings
from app.core.database import to_json, translate_errors
from app.core.exceptions import DatabaseUnavailable
from app.infrastructure.celery import QUEUES
from app.infrastructure.rabbitmq import LogEvent
from app.infrastructure.redis.advice import advice
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

LONGEST_BACKLOG = 20_000
MESSAGES_AT_ONCE = 16


def _pruning_interval(settings: Settings) -> float:
    return min(DAY, settings.celery.log_retention_days * DAY / 10)


_redis = Outage("Redis, in which the sweep looks")


@contextmanager
def servers_needed() -> Iterator[None]:
    """Without its servers a periodic task does nothing, and leaves it to the next one;
    the process has said that they are lost."""
    try:
        yield
        _redis.restored()
    except DatabaseUnavailable:
        pass
    except (KombuError, RedisError, OSError) as error:
        _redis.lost(error, advice(error))


@scheduled(lambda settings: settings.celery.sweep_every_seconds, queue="high")
@shared_task(bind=True, autoretry_for=())  # the next one is soon due
@servers_needed()
def sweep(self: Task[Any, Any]) -> None:
    """Publish again the records that wait for long and that Celery knows no more.

    Redis may lose a task: flushed, restored from an old file, or with a worker that
    is killed between being given it and noting that. The record knows better.
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
        known = _known_to_celery(self)
        if known is None:
            return  # a long backlog: nothing can be said to be lost
        lost = [task_id for task_id in lost if task_id not in known]
    for task_id in lost:
        _treat_lost(task_id, age)


def _known_to_celery(task: Task[Any, Any]) -> set[str] | None:
    """Ids of tasks that are queued, running or waiting for a retry; None if many."""
    with task.app.connection_for_write() as connection:
        channel: Any = connection.default_channel
        redis = channel.client
        if sum(redis.llen(queue) for queue in QUEUES) > LONGEST_BACKLOG:
            return None
        return {
            message["headers"]["id"]
            for message in _known_messages(redis, channel.unacked_key)
        }


def _known_messages(redis: Any, unacked_key: str) -> Iterator[Any]:
    """What waits and what workers hold, some at a time: bodies may be large.

    New ones come in front of the list, so that none is passed over; what a worker
    takes from its end meanwhile is among those that are held, which come last.
    """
    for queue in QUEUES:
        for start in count(0, MESSAGES_AT_ONCE):
            found = redis.lrange(queue, start, start + MESSAGES_AT_ONCE - 1)
            yield from map(json.loads, found)
            if len(found) < MESSAGES_AT_ONCE:
                break
    # kombu keeps [message, exchange, routing key] of what workers hold.
    for _, held in redis.hscan_iter(unacked_key, count=MESSAGES_AT_ONCE):
        message = json.loads(held)[0]
        yield json.loads(message) if isinstance(message, str) else message


def _treat_lost(task_id: str, age: timedelta) -> None:
    """Note it, commit, publish: another sweep at the same time passes the row over."""
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
        event = LogEvent(REPUBLISHED, service.queue, task_id, f"sweep-{task_id}")
        add_log(session, event, record.description)
        refresh_record(record)
        session.commit()
    arguments = {
        "task_id": task_id,
        "request": to_json(content),
        "request_id": event.correlation_id,
        "queue_name": service.queue,
    }
    with tracing.continued(parent):
        process_accepted.apply_async(kwargs=arguments, task_id=task_id, queue=priority)
    _lost.add(1, {"app.sweep.outcome": REPUBLISHED})
    logger.warning("Task %s was lost and is published again", task_id)


def _end_lost(task_id: str, ending: Ending, session: Session) -> None:
    session.rollback()  # lets go of the row
    end_record(get_worker_resources().engine, task_id, ending)
    _lost.add(1, {"app.sweep.outcome": "given_up"})
    logger.error("Task %s has failed: %s", task_id, ending.outcome["detail"])


@scheduled(_pruning_interval, queue="low")
@shared_task
@servers_needed()
def prune_logs() -> None:
    """Delete rows that are older than their retention, some at a time."""
    settings = get_worker_resources().settings
    _prune(delete_old_logs, settings.celery.log_retention_days)
    if settings.record_retention_days is not None:
        _prune(delete_old_records, settings.record_retention_days)


def _prune(delete_some: Callable[[Session, timedelta], bool], days: float) -> None:
    with translate_errors(), Session(get_worker_resources().engine) as session:
        while delete_some(session, timedelta(days=days)):
            session.commit()
