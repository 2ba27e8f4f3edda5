"""Celery over Redis: the application of worker and beat."""

from dataclasses import replace
from typing import Any

from celery import Celery
from kombu import Queue
from pydantic import SecretStr

from app import __title__
from app.core.redis_settings import CelerySettings
from app.infrastructure.celery_publishing import TidyCelery
from app.infrastructure.celery_retries import RetriedTask
from app.infrastructure.celery_transport import register_backend, register_transport
from app.infrastructure.redis.client import sentinel_options
from app.infrastructure.redis.login import FileLogin, file_login
from chassis.redis_url import RedisUrl

PROCESS_DATA = "app.tasks.data.process_data"

# In the order in which a free worker takes from them.
QUEUES = ("high", "default", "low")

SOCKET_TIMEOUT = 2.0
THREADS = 16  # the default for a worker with threads
CHILD_START = 30.0  # seconds that a child of the pool may take to start


def create_celery(settings: CelerySettings) -> Celery:
    """The application of worker and beat. It connects on first use."""
    register_transport()
    login = file_login(settings, "broker_url")
    results_login = file_login(settings, "result_backend")
    broker = _place(settings.broker_url, login)
    results = _place(settings.result_backend, results_login)
    app = TidyCelery(
        __title__,
        broker=broker.kombu_url,
        task_cls=RetriedTask,
    )
    app.backend_cls = results.kombu_url
    app.broker_login = login
    register_backend(app)
    _use_broker(app, broker)
    app.conf.update(
        redis_backend_use_ssl=results.tls,
        redis_backend_credential_provider=results_login,
        result_backend_transport_options=_transport_options(settings, results),
        task_serializer="json",
        result_serializer="json",
        accept_content=["json"],
        task_queues=[Queue(name) for name in QUEUES],
        task_default_queue="default",
        # app.tasks.data writes states and results itself, with less traffic.
        task_ignore_result=True,
        redis_socket_timeout=SOCKET_TIMEOUT,
        redis_socket_connect_timeout=SOCKET_TIMEOUT,
        task_acks_late=True,
        task_retry_on_worker_lost=True,
        task_max_retries=settings.task_max_retries,  # for RetriedTask
        task_time_limit=settings.task_time_limit_seconds,
        task_soft_time_limit=settings.task_soft_time_limit_seconds,
        result_expires=settings.result_expires_seconds,
        heartbeat_file=settings.heartbeat_file,  # for app.tasks.liveness
        worker_pool=settings.worker_pool,
        worker_concurrency=settings.worker_concurrency
        or ("auto" if settings.worker_pool == "prefork" else THREADS),
        worker_prefetch_multiplier=settings.worker_prefetch_multiplier,
        # A thread cannot be killed: its task continues, and ends its record.
        worker_cancel_long_running_tasks_on_connection_loss=(
            settings.worker_pool == "prefork"
        ),
        # A busy machine may take long to start a child. Celery's 4 s would kill it, and
        # each that follows.
        worker_proc_alive_timeout=CHILD_START,
        worker_hijack_root_logger=False,
        # Whoever can write to Redis could otherwise stop workers and read their tasks.
        worker_enable_remote_control=False,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        # Otherwise a Redis that is full, or a replica, would end the worker.
        broker_channel_error_retry=True,
        broker_transport_options={
            **_transport_options(settings, broker),
            "queue_order_strategy": "priority",
            "priority_steps": [0],  # a queue is one list: sweep and metrics look there
            # Check every 10 s for tasks that no worker finished in time. By default
            # kombu restores such tasks only every 100 s.
            "unacked_restore_throttle": 1,
            "visibility_timeout": settings.visibility_timeout_seconds,
            # A Redis that hangs would stop the worker's loop: it would not look for
            # another one. It must be longer than kombu's BRPOP waits: one second.
            "socket_timeout": SOCKET_TIMEOUT,
            "socket_connect_timeout": SOCKET_TIMEOUT,
            "health_check_interval": 5,
        },
    )
    return app


def create_publisher(settings: CelerySettings) -> Celery:
    """The application of a process that only publishes tasks."""
    register_transport()
    login = file_login(settings, "broker_url")
    broker = _place(settings.broker_url, login)
    app = TidyCelery(__title__, broker=broker.kombu_url, set_as_current=False)
    _use_broker(app, broker)
    app.backend_cls = "disabled"
    app.broker_login = login
    app.conf.update(
        task_queues=[Queue(name) for name in QUEUES],
        broker_transport_options={
            **_transport_options(settings, broker),
            "socket_timeout": SOCKET_TIMEOUT,
            "socket_connect_timeout": SOCKET_TIMEOUT,
            # Retry the connection once, at once. kombu's own retries would block the
            # thread for seconds, and delay tasks when Redis is already back.
            "max_retries": 1,
            "interval_start": 0,
            "interval_step": 0,
            "interval_max": 0,
        },
    )
    return app


def _use_broker(app: Celery, broker: RedisUrl) -> None:
    """Celery prefers CELERY_BROKER_URL to `broker_url`, but not to these two. In the
    same way `backend_cls` keeps it from CELERY_RESULT_BACKEND."""
    url = broker.kombu_url
    app.conf.update(
        broker_read_url=url, broker_write_url=url, broker_use_ssl=broker.tls
    )


def _place(url: SecretStr, login: FileLogin | None) -> RedisUrl:
    """A Redis; redis-py refuses a URL with a login beside a ``login``."""
    place = RedisUrl.read(url.get_secret_value())
    return replace(place, username=None, password=None) if login else place


def _transport_options(settings: CelerySettings, place: RedisUrl) -> dict[str, Any]:
    """For kombu and for Celery's result backend: the keys' prefix, the Sentinels."""
    options: dict[str, Any] = {"global_keyprefix": settings.key_prefix}
    if place.master_name:
        options["master_name"] = place.master_name
        options["sentinel_kwargs"] = sentinel_options(place)
    return options


def know_task(app: Celery, name: str) -> None:
    """Declare a task's name: Celery's instrumentations trace only tasks that the app
    knows."""
    if name not in app.tasks:
        app.task(name=name, shared=False)(_run_by_workers)


def _run_by_workers() -> None:
    """A placeholder for a task whose code runs elsewhere."""
