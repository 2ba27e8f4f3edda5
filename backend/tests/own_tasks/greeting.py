"""Tasks such as a team writes: `tests.echo_worker` has them in its folder of tasks."""

import time

from celery import shared_task
from celery.schedules import crontab

from app.tasks.resources import get_worker_resources
from app.tasks.scheduling import scheduled


@scheduled(lambda settings: settings.celery.sweep_every_seconds * 6, queue="low")
@shared_task
def greet(name: str = "nobody") -> None:
    """Asks a service, by its name."""
    get_worker_resources().call_service("echo", {"greet": name})


@scheduled(lambda settings: crontab(hour="3", minute="0"))
@shared_task(max_retries=1)
def sleep_long() -> None:
    """Exceeds its time limit."""
    time.sleep(60)
