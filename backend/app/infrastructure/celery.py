"""Celery over Redis: the application, and the API's way to hand it work."""

import contextvars
from typing import Any

from celery import Celery
from kombu.exceptions import OperationalError

from app.core.config import CelerySettings
from app.core.exceptions import BrokerUnavailable

PROCESS_DATA = "app.tasks.data.process_data"

# The three clocks, in seconds; docs/TASKS.md shows how they relate.
SOFT_TIME_LIMIT = 120
TIME_LIMIT = 150
VISIBILITY_TIMEOUT = 600

SOCKET_TIMEOUT = 2.0


def create_celery(settings: CelerySettings, *, results: bool = True) -> Celery:
    """The application of the worker; without ``results`` that of the API.

    Nothing connects before the first use.
    """
    backend = settings.celery_result_backend.get_secret_value() if results else None
    app = Celery(
        "fastapi-starter",
        broker=settings.celery_broker_url.get_secret_value(),
        backend=backend,
        include=["app.tasks.data"],
        set_as_current=results,
    )
    app.conf.update(
        task_serializer="json",
        result_serializer="json",
        accept_content=["json"],
        task_ignore_result=not results,
        task_acks_late=True,
        task_time_limit=TIME_LIMIT,
        task_soft_time_limit=SOFT_TIME_LIMIT,
        result_expires=3600,
        worker_prefetch_multiplier=1,
        worker_cancel_long_running_tasks_on_connection_loss=True,
        worker_hijack_root_logger=False,
        broker_connection_retry_on_startup=True,
        broker_transport_options={
            "visibility_timeout": VISIBILITY_TIMEOUT,
            "socket_timeout": SOCKET_TIMEOUT if not results else None,
            "socket_connect_timeout": SOCKET_TIMEOUT,
        },
    )
    return app


class TaskPublisher:
    """Hands tasks to Celery. Blocking: keep it off the event loop."""

    def __init__(self, settings: CelerySettings) -> None:
        self._celery = create_celery(settings, results=False)

    def process_data(self, task_id: str, **arguments: Any) -> None:
        """Have the worker process the record of ``task_id``.

        Raises:
            BrokerUnavailable: Redis did not take it, or did not say so in time; it
                may have arrived.
        """
        # A copied context: the tracing of Celery leaks a span when publishing fails.
        contextvars.copy_context().run(self._send, task_id, arguments)

    def _send(self, task_id: str, arguments: dict[str, Any]) -> None:
        try:
            self._celery.send_task(
                PROCESS_DATA,
                kwargs={"task_id": task_id, **arguments},
                task_id=task_id,
                retry=False,
            )
        except (OperationalError, OSError, TimeoutError) as error:
            raise BrokerUnavailable("Redis did not take the task.") from error

    def close(self) -> None:
        """Give the connections back."""
        self._celery.close()
