"""The composition root of worker and beat: ``celery -A app.worker worker``."""

import logging
import os
from typing import Any

from celery.signals import (
    task_failure,
    worker_init,
    worker_process_init,
    worker_process_shutdown,
    worker_shutdown,
)

from app.core.config import Settings
from app.core.database import create_sync_engine
from app.core.exceptions import DatabaseUnavailable
from app.core.logs import configure_logging
from app.infrastructure.celery import PROCESS_DATA, create_celery
from app.tasks.liveness import Liveness
from app.tasks.records import end_record, failure
from app.tasks.resources import close_resources, open_resources

logger = logging.getLogger(__name__)

# SIGTERM gives running tasks time, then hands them back: Celery's soft shutdown.
os.environ.setdefault("REMAP_SIGTERM", "SIGQUIT")

settings = Settings()
configure_logging(settings)
celery = create_celery(settings.celery)
celery.steps["worker"].add(Liveness)


@worker_process_init.connect
def open_child(**_: Any) -> None:
    """Each child of the prefork pool has connections of its own."""
    open_resources(settings)


@worker_process_shutdown.connect
def close_child(**_: Any) -> None:
    """Give the child's connections back."""
    close_resources()


@worker_init.connect
def open_solo(sender: Any, **_: Any) -> None:
    """The pools without children (solo, threads) work in the parent."""
    if "prefork" not in str(sender.pool_cls):
        open_resources(settings)


@worker_shutdown.connect
def close_solo(**_: Any) -> None:
    """Give the parent's connections back, if it has any."""
    close_resources()
    logger.info("Stopped")


@task_failure.connect
def end_failed(sender: Any, task_id: str, exception: BaseException, **_: Any) -> None:
    """End the record of a task that failed in a way that it could not handle itself:
    a bug, its child lost too often, or its time limit. Rare: an engine for the once."""
    if sender.name != PROCESS_DATA:
        return
    ending = failure("internal_error", f"The task failed: {type(exception).__name__}.")
    engine = create_sync_engine(settings.database)
    try:
        end_record(engine, task_id, ending)
    except DatabaseUnavailable:
        logger.warning("Task %s failed, which the sweep will note", task_id)
    finally:
        engine.dispose()
