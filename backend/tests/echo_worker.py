"""A worker for the test service, with the tasks of `tests/own_tasks`: `celery -A
tests.echo_worker`."""

from pathlib import Path

from app import tasks
from app.core import services

services.SERVICES = (services.Service("echo", "echo_queue"),)
tasks.__path__.append(str(Path(__file__).with_name("own_tasks")))

from app.worker import celery  # noqa: E402

__all__ = ["celery"]
