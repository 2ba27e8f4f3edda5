"""A worker for the service that no deployment has: `celery -A tests.echo_worker`."""

from app.core import services

services.SERVICES = (services.Service("echo", "echo_queue"),)

from app.worker import celery  # noqa: E402

__all__ = ["celery"]
