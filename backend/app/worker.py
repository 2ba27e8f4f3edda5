"""The composition root of worker and beat: ``celery -A app.worker worker``."""

import atexit
import gc
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from celery.concurrency import get_implementation
from celery.exceptions import Reject, TimeLimitExceeded
from celery.signals import (
    beat_init,
    setup_logging,
    task_failure,
    worker_init,
    worker_process_init,
    worker_process_shutdown,
    worker_shutdown,
    worker_shutting_down,
)

from app import tasks
from app.core.config import load_settings
from app.core.database import create_sync_engine
from app.core.exceptions import DatabaseUnavailable
from app.infrastructure.celery import PROCESS_DATA, create_celery
from app.infrastructure.instrumentation import instrument_clients
from app.infrastructure.queue_metrics import watch_queues, watch_tasks
from app.infrastructure.rabbitmq_management import ManagementApi
from app.repositories.data_repository import end_record, failure
from app.tasks.consumer import ColdStatus, PromptConsumer, tell_losses_once
from app.tasks.liveness import Liveness, LivingScheduler
from app.tasks.log_context import name_tasks
from app.tasks.resources import (
    close_worker_resources,
    end_calls,
    open_worker_resources,
)
from app.tasks.scheduling import beat_schedule
from chassis.logs import configure_logging
from chassis.telemetry import start_telemetry, stop_telemetry

logger = logging.getLogger(__name__)

# Seconds that a thread may hold the interpreter; a sixth more tasks than with 5 ms.
SWITCH_INTERVAL = 0.0005

# Seconds that a child which cannot work gives its parent to stop.
CHILD_PAUSE = 2

SERVICE = "beat" if "beat" in sys.argv else "worker"

settings = load_settings()
configure_logging(SERVICE, settings.log_level, settings.log_format)
celery = create_celery(settings.celery)
tasks.import_tasks()
name_tasks()
tell_losses_once()
celery.steps["worker"].update({Liveness, ColdStatus})
celery.conf.beat_scheduler = LivingScheduler
celery.conf.beat_schedule = beat_schedule(settings)
celery.conf.worker_consumer = PromptConsumer
celery.Task.Request = "app.tasks.consumer:NamedRequest"


@setup_logging.connect
def keep_logging(**_: Any) -> None:
    """Celery's own log lines keep the format of all others."""
    configure_logging(SERVICE, settings.log_level, settings.log_format)


def _start_telemetry() -> None:
    if start_telemetry(SERVICE, settings.environment):
        instrument_clients()


@contextmanager
def required() -> Iterator[None]:
    """What fails within ends the process: Celery would only log it, and give tasks to
    a process without resources (celery#2738)."""
    try:
        yield
    except Exception as error:
        logger.critical("This process cannot work and ends: %s", error, exc_info=True)
        raise SystemExit(1) from error


@worker_init.connect
def open_parent(sender: Any, **_: Any) -> None:
    """Threads share the telemetry and the connections of the one process. The parent
    of children has none."""
    # What is here stays: no collection shall walk through it, and copy its pages in
    # every child by doing so.
    gc.collect()
    gc.freeze()
    if get_implementation(sender.pool_cls) is get_implementation("prefork"):
        return
    # The thread that asks Redis for tasks waits less for those that work on them.
    sys.setswitchinterval(SWITCH_INTERVAL)
    with required():
        _start_telemetry()
        open_worker_resources(settings)


@worker_process_init.connect
def open_child(**_: Any) -> None:
    """Each child of the prefork pool has telemetry and connections of its own.

    A child that cannot open them stops the whole worker, which gives back the tasks
    that it holds. If only the child ended, the pool would replace it at once, again and
    again; what supervises the worker restarts it at growing intervals.
    """
    try:
        with required():
            _start_telemetry()
            open_worker_resources(settings)
    except SystemExit:
        os.kill(os.getppid(), signal.SIGQUIT)
        time.sleep(CHILD_PAUSE)
        raise


@worker_process_shutdown.connect
def close_child(**_: Any) -> None:
    """Give the child's connections back."""
    close_worker_resources()
    stop_telemetry()


@beat_init.connect
def watch_beat(**_: Any) -> None:
    """There is one beat in a deployment: it reports what belongs to no process."""
    with required():
        _start_telemetry()
        watch_queues(ManagementApi(settings.rabbitmq), settings.services)
        watch_tasks(settings.celery)
    atexit.register(stop_telemetry)


@worker_shutting_down.connect
def limit_shutdown(sig: str, how: str, **_: Any) -> None:
    """SIGTERM lets running tasks finish; after the grace they are handed back.

    Celery's own soft shutdown would wait for the whole grace whenever a task runs.
    """
    if how == "Warm":
        timer = threading.Timer(settings.celery.worker_grace_seconds, hand_back)
        timer.daemon = True
        timer.start()


def hand_back() -> None:
    """End what still runs: threads by the calls that they wait for, which they then
    retry; children by Celery's cold shutdown, which returns their tasks to Redis."""
    if not end_calls():
        os.kill(os.getpid(), signal.SIGQUIT)


@worker_shutdown.connect
def close_parent(**_: Any) -> None:
    """Give the parent's connections back, if it has any."""
    close_worker_resources()
    stop_telemetry()
    logger.info("Stopped")


@task_failure.connect
def end_failed(sender: Any, task_id: str, exception: BaseException, **_: Any) -> None:
    """End the record of a task that failed in a way that it could not handle itself:
    a bug, or its child lost too often. Rare: an engine for the once.

    Two are left to the sweep, which publishes them again, a few times: a task at its
    time limit, whose child may hang through no fault of the task, and one whose retry
    Redis did not take, which Celery rejects.
    """
    if sender.name != PROCESS_DATA:
        return
    if isinstance(exception, TimeLimitExceeded | Reject):
        logger.warning("Task %s is left to the sweep: %r", task_id, exception)
        return
    ending = failure("internal_error", f"The task failed: {type(exception).__name__}.")
    engine = create_sync_engine(settings.database)
    try:
        end_record(engine, task_id, ending)
    except DatabaseUnavailable:
        logger.warning("Task %s failed, which the sweep will note", task_id)
    finally:
        engine.dispose()
