"""Celery over Redis: the application, and the API's way to hand it work."""

from typing import Any

from celery import Celery
from kombu import Queue
from kombu.exceptions import OperationalError

from app.core.config import CelerySettings
from app.core.exceptions import BrokerUnavailable
from app.infrastructure.celery_tracing import TracedCelery

PROCESS_DATA = "app.tasks.data.process_data"
SWEEP = "app.tasks.maintenance.sweep"
PRUNE_LOGS = "app.tasks.maintenance.prune_logs"

# In the order in which a free worker looks at them.
QUEUES = ("high", "default", "low")

# Options of a publish: what people sent stays out of logs and events.
HIDDEN: dict[str, Any] = {"argsrepr": "()", "kwargsrepr": "{}"}

SOCKET_TIMEOUT = 2.0
DAY = 24 * 60 * 60


def create_celery(settings: CelerySettings) -> Celery:
    """The application of worker and beat. Nothing connects before the first use."""
    app = TracedCelery(
        "fastapi-starter",
        broker=settings.broker_url.get_secret_value(),
        backend=settings.result_backend.get_secret_value(),
        include=["app.tasks.data", "app.tasks.maintenance"],
    )
    app.conf.update(
        task_serializer="json",
        result_serializer="json",
        accept_content=["json"],
        task_queues=[Queue(name) for name in QUEUES],
        task_default_queue="default",
        task_acks_late=True,
        task_retry_on_worker_lost=True,
        task_track_started=True,
        task_annotations={
            PROCESS_DATA: {
                "max_retries": settings.task_max_retries,
                "default_retry_delay": 1,  # after the loss of a worker's child
            }
        },
        task_time_limit=settings.task_time_limit_seconds,
        task_soft_time_limit=settings.task_soft_time_limit_seconds,
        result_expires=settings.result_expires_seconds,
        heartbeat_file=settings.heartbeat_file,  # for app.tasks.liveness
        worker_prefetch_multiplier=1,
        worker_cancel_long_running_tasks_on_connection_loss=True,
        worker_hijack_root_logger=False,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_transport_options={
            "queue_order_strategy": "priority",
            # Look every 10 s for tasks that no worker finished in time; kombu's own
            # throttle makes that 100 s.
            "unacked_restore_throttle": 1,
            "visibility_timeout": settings.visibility_timeout_seconds,
            "socket_connect_timeout": SOCKET_TIMEOUT,
            "health_check_interval": 5,
        },
        beat_schedule={
            "sweep": {
                "task": SWEEP,
                "schedule": settings.sweep_every_seconds,
                # One that waited until the next is due has nothing to add.
                "options": {"queue": "high", "expires": settings.sweep_every_seconds},
            },
            "prune logs": {
                "task": PRUNE_LOGS,
                "schedule": min(DAY, settings.log_retention_days * DAY / 10),
                "options": {"queue": "low", "expires": DAY},
            },
        },
    )
    return app


class TaskPublisher:
    """Hands tasks to Celery. Blocking: keep it off the event loop.

    Its application has no result backend: with one, each publish would subscribe to
    the result.
    """

    def __init__(self, settings: CelerySettings) -> None:
        self._celery = TracedCelery(
            "fastapi-starter-publisher",
            broker=settings.broker_url.get_secret_value(),
            set_as_current=False,
        )
        self._celery.conf.update(
            task_serializer="json",
            task_queues=[Queue(name) for name in QUEUES],
            task_default_queue="default",
            broker_transport_options={
                "socket_timeout": SOCKET_TIMEOUT,
                "socket_connect_timeout": SOCKET_TIMEOUT,
            },
        )

    def process_data(
        self, task_id: str, *, request: str, request_id: str, priority: str
    ) -> None:
        """Have a worker process the record of ``task_id``.

        Args:
            request: the JSON text of payload and description.
            priority: one of ``QUEUES``.

        Raises:
            BrokerUnavailable: Redis did not take it, or did not say so in time; it
                may have arrived.
        """
        arguments = {"task_id": task_id, "request": request, "request_id": request_id}
        try:
            self._celery.send_task(
                PROCESS_DATA,
                kwargs=arguments,
                task_id=task_id,
                queue=priority,
                retry=False,
                **HIDDEN,
            )
        except (OperationalError, OSError) as error:
            raise BrokerUnavailable("Redis did not take the task.") from error

    def close(self) -> None:
        """Give the connections back."""
        self._celery.close()
