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
from app.core.exceptions import DatabaseBusy, DatabaseUnavailable
from app.infrastructure.celery import PROCESS_DATA, create_celery
from app.infrastructure.forks import leave_connections
from app.infrastructure.instrumentation import instrument_clients
from app.infrastructure.queue_metrics import watch_queues, watch_tasks
from app.infrastructure.rabbitmq_management import ManagementApi
from app.infrastructure.redis.beat_lease import BeatLease
from app.repositories.data_repository import end_record, failure
from app.tasks.beat import LivingScheduler
from app.tasks.consumer import ColdStatus, PromptConsumer, tell_losses_once
from app.tasks.event_metrics import watch_backlog
from app.tasks.liveness import Liveness
from app.tasks.log_context import name_tasks
from app.tasks.resources import (
    close_worker_resources,
    end_calls,
    open_worker_resources,
)
from app.tasks.scheduling import beat_schedule
from chassis.logs import configure_logging
from chassis.rabbitmq import rabbitmq_server
from chassis.telemetry import start_telemetry, stop_telemetry

logger = logging.getLogger(__name__)

# Longest time that a thread holds the interpreter, in seconds; gains a sixth more tasks
# than the default of 5 ms.
SWITCH_INTERVAL = 0.0005

# Seconds that a failing child waits for its parent to stop.
CHILD_PAUSE = 2

# Seconds that a cold shutdown has before the next signal.
COLD_SHUTDOWN = 5

SERVICE = "beat" if "beat" in sys.argv else "worker"

settings = load_settings()
configure_logging(SERVICE, settings.log_level, settings.log_format)
celery = create_celery(settings.celery)
tasks.import_tasks()
name_tasks()
tell_losses_once()
celery.steps["worker"].update({Liveness, ColdStatus})
celery.conf.beat_scheduler = LivingScheduler
celery.conf.beat_lease = BeatLease(settings.celery)
celery.conf.beat_schedule = beat_schedule(settings)
celery.conf.worker_consumer = PromptConsumer
celery.Task.Request = "app.tasks.consumer:NamedRequest"


@setup_logging.connect
def keep_logging(**_: Any) -> None:
    """Celery asks for this after telemetry has started. A receiver keeps it from
    setting up logging of its own; doing so again would lose telemetry's handler and
    filter."""


def _start_telemetry() -> None:
    if start_telemetry(SERVICE, settings.environment):
        instrument_clients()


@contextmanager
def required() -> Iterator[None]:
    """An error inside ends the process. Celery would only log it, and give tasks to a
    process without resources (celery#2738)."""
    try:
        yield
    except Exception as error:
        logger.critical("This process cannot start and exits: %s", error, exc_info=True)
        raise SystemExit(1) from error


@worker_init.connect
def open_parent(sender: Any, **_: Any) -> None:
    """Open telemetry and connections for a pool of threads, which share them. A prefork
    parent needs none."""
    # Objects made so far stay. Freezing them keeps garbage collections in the children
    # from touching, and so copying, their pages.
    gc.collect()
    gc.freeze()
    if get_implementation(sender.pool_cls) is get_implementation("prefork"):
        return
    # The thread that reads from Redis then waits less for the threads that run tasks.
    sys.setswitchinterval(SWITCH_INTERVAL)
    with required():
        _start_telemetry()
        open_worker_resources(settings)


@worker_process_init.connect
def open_child(**_: Any) -> None:
    """Open telemetry and connections in a child of the prefork pool.

    A child that cannot open them stops the whole worker, which returns its tasks. If
    only the child exited, the pool would replace it at once, again and again. A
    supervisor restarts the worker at growing intervals.
    """
    leave_connections()
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
    """Close the child's connections."""
    close_worker_resources()
    stop_telemetry()


@beat_init.connect
def watch_beat(**_: Any) -> None:
    """One beat is active, so it reports what belongs to no single process."""
    lease: BeatLease = celery.conf.beat_lease
    with required():
        _start_telemetry()
        management = ManagementApi(settings.rabbitmq, settings.rpc)
        watch_queues(management, settings.services, lease.is_held)
        watch_tasks(settings.celery, lease.is_held)
        if rabbitmq_server(settings.rabbitmq, settings.rpc):  # or there is no relay
            engine = create_sync_engine(settings.database, pool_size=1, max_overflow=0)
            watch_backlog(engine, lease.is_held)
    atexit.register(lease.release)
    atexit.register(stop_telemetry)
    gc.freeze()  # spare the collector objects that stay


@worker_shutting_down.connect
def limit_shutdown(sig: str, how: str, **_: Any) -> None:
    """On SIGTERM running tasks may finish; after the grace period they are handed back.

    Celery's own soft shutdown always waits for the whole grace period if a task runs.
    """
    if how == "Warm":
        timer = threading.Timer(settings.celery.worker_grace_seconds, hand_back)
        timer.daemon = True
        timer.start()


def hand_back() -> None:
    """Stop the tasks that still run. In threads, their pending calls fail and the tasks
    retry. In children, Celery's cold shutdown returns the tasks to Redis.

    The signal may come while Celery reads a child's result. Its handler reads there
    too, and one of the two can then wait for ever. The third signal ends the worker.
    """
    if end_calls():
        return
    while True:  # this thread ends with the process
        os.kill(os.getpid(), signal.SIGQUIT)
        time.sleep(COLD_SHUTDOWN)


@worker_shutdown.connect
def close_parent(**_: Any) -> None:
    """Close the parent's connections, if it has any."""
    close_worker_resources()
    stop_telemetry()
    logger.info("Stopped")


@task_failure.connect
def end_failed(sender: Any, task_id: str, exception: BaseException, **_: Any) -> None:
    """End the record of a task that failed outside its own error handling: a bug, or
    its child was lost too often. This is rare, so it opens an engine each time.

    The sweep handles two cases, and publishes the task again a few times. A task may
    reach its time limit because its child hangs, through no fault of the task. And
    Celery rejects a task whose retry Redis did not accept.
    """
    if sender.name != PROCESS_DATA:
        return
    if isinstance(exception, TimeLimitExceeded | Reject):
        logger.warning("The sweep will handle task %s: %r", task_id, exception)
        return
    ending = failure("internal_error", f"The task failed: {type(exception).__name__}.")
    engine = create_sync_engine(settings.database)
    try:
        end_record(engine, task_id, ending)
    except (DatabaseUnavailable, DatabaseBusy):
        logger.warning("Task %s failed; the sweep will end its record", task_id)
    finally:
        engine.dispose()
