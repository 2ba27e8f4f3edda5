"""The composition root of worker and beat: ``celery -A app.worker worker``."""

import atexit
import gc
import logging
import os
import signal
import sys
import threading
from typing import Any

from celery.exceptions import TimeLimitExceeded
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

from app.core.config import load_settings
from app.core.database import create_sync_engine
from app.core.exceptions import DatabaseUnavailable
from app.infrastructure.celery import PROCESS_DATA, create_celery
from app.infrastructure.instrumentation import instrument_clients
from app.infrastructure.queue_metrics import watch_queues, watch_tasks
from app.infrastructure.rabbitmq_management import ManagementApi
from app.repositories.data_repository import end_record, failure
from app.tasks.consumer import PromptConsumer
from app.tasks.liveness import Liveness, LivingScheduler
from app.tasks.log_context import name_tasks
from app.tasks.resources import close_worker_resources, open_worker_resources
from chassis.logs import configure_logging
from chassis.telemetry import start_telemetry, stop_telemetry

logger = logging.getLogger(__name__)

SERVICE = "beat" if "beat" in sys.argv else "worker"

settings = load_settings()
configure_logging(SERVICE, settings.log_level, settings.log_format)
celery = create_celery(settings.celery)
name_tasks()
celery.steps["worker"].add(Liveness)
celery.conf.beat_scheduler = LivingScheduler
celery.conf.worker_consumer = PromptConsumer
celery.Task.Request = "app.tasks.consumer:NamedRequest"


@setup_logging.connect
def keep_logging(**_: Any) -> None:
    """Celery's own log lines keep the format of all others."""
    configure_logging(SERVICE, settings.log_level, settings.log_format)


def _start_telemetry() -> None:
    if start_telemetry(SERVICE, settings.environment):
        instrument_clients()


@worker_process_init.connect
def open_child(**_: Any) -> None:
    """Each child of the prefork pool has connections and telemetry of its own."""
    _start_telemetry()
    open_worker_resources(settings)


@worker_process_shutdown.connect
def close_child(**_: Any) -> None:
    """Give the child's connections back."""
    close_worker_resources()
    stop_telemetry()


@worker_init.connect
def freeze(**_: Any) -> None:
    """What is here before the children stays: no collection shall walk through it,
    and copy its pages by doing so."""
    gc.collect()
    gc.freeze()


@worker_init.connect
def open_solo(sender: Any, **_: Any) -> None:
    """The pools without children (solo, threads) work in the parent."""
    if "prefork" not in str(sender.pool_cls):
        _start_telemetry()
        open_worker_resources(settings)


@beat_init.connect
def watch_beat(**_: Any) -> None:
    """There is one beat in a deployment: it reports what belongs to no process."""
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
        grace = settings.celery.worker_grace_seconds
        timer = threading.Timer(grace, os.kill, (os.getpid(), signal.SIGQUIT))
        timer.daemon = True
        timer.start()


@worker_shutdown.connect
def close_solo(**_: Any) -> None:
    """Give the parent's connections back, if it has any."""
    close_worker_resources()
    stop_telemetry()
    logger.info("Stopped")


@task_failure.connect
def end_failed(sender: Any, task_id: str, exception: BaseException, **_: Any) -> None:
    """End the record of a task that failed in a way that it could not handle itself:
    a bug, or its child lost too often. Rare: an engine for the once.

    A task at its time limit has a child that hangs, which may be no fault of its own:
    the sweep finds it, and has it tried by another, a few times.
    """
    if sender.name != PROCESS_DATA:
        return
    if isinstance(exception, TimeLimitExceeded):
        logger.warning("Task %s hung, and is left to the sweep", task_id)
        return
    ending = failure("internal_error", f"The task failed: {type(exception).__name__}.")
    engine = create_sync_engine(settings.database)
    try:
        end_record(engine, task_id, ending)
    except DatabaseUnavailable:
        logger.warning("Task %s failed, which the sweep will note", task_id)
    finally:
        engine.dispose()
