"""The Celery worker's composition root: ``celery -A app.worker worker``."""

import logging
from typing import Any

from celery.signals import (
    worker_init,
    worker_process_init,
    worker_process_shutdown,
    worker_shutdown,
)

from app.core.config import Settings
from app.core.logs import configure_logging
from app.infrastructure.celery import create_celery
from app.tasks.resources import close_resources, open_resources

settings = Settings()
configure_logging(settings)
celery = create_celery(settings.celery)


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
    logging.getLogger(__name__).info("Stopped")
