"""Tasks as a team writes them: `tests.echo_worker` finds them in its task folder."""

import time

from celery import shared_task
from celery.schedules import crontab

from app.tasks.resources import get_worker_resources
from app.tasks.scheduling import scheduled


@scheduled(lambda settings: settings.celery.sweep_every_seconds * 6, queue="low")
@shared_task
def greet(name: str = "nobody") -> None:
    """Call a service by its name."""
    get_worker_resources().call_service("echo", {"greet": name})


@scheduled(lambda settings: crontab(hour="3", minute="0"))
@shared_task(max_retries=1)
def sleep_long() -> None:
    """Exceed the time limit."""
    time.sleep(60)
