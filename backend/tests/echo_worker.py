"""A worker for the service that no deployment has, with tasks that none has:
`celery -A tests.echo_worker`."""

from pathlib import Path

from app import tasks
from app.core import services

services.SERVICES = (services.Service("echo", "echo_queue"),)
tasks.__path__.append(str(Path(__file__).with_name("own_tasks")))

from app.worker import celery  # noqa: E402

__all__ = ["celery"]
