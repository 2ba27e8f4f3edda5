"""What differs from Celery's worker: it reconnects to Redis sooner, logs the id of a
failed task, and exits with 1 after a cold shutdown."""

import logging
from functools import partial
from typing import Any

from celery.bootsteps import StartStopStep
from celery.worker import request
from celery.worker.consumer import Consumer, consumer
from celery.worker.request import Request

from app.infrastructure.redis.advice import advice
from chassis.context import current_task_id
from chassis.outages import Outage

# Seconds between attempts to connect: the first pause, and the longest. Celery's pauses
# grow to 30 s: accepted work would wait after Redis is long back.
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 2.0


# Celery's log lines on a lost connection, some with tracebacks. A task that could not
# be acknowledged comes again.
CELERYS_OWN = (
    *("Connection to broker lost", "Frequent restarts detected"),
    *("Couldn't ack", "Couldn't reject"),
)

_redis = Outage("Redis, which hands out tasks")


class PromptConsumer(Consumer):
    """Celery's consumer with shorter pauses and fewer log lines; for the setting
    ``worker_consumer``."""

    def ensure_connected(self, conn: Any) -> Any:
        """Called by Celery with a connection to open, at start and after a loss;
        returns it once it is open."""
        conn.ensure_connection = partial(_connect, conn.ensure_connection)
        connected = super().ensure_connected(conn)
        _redis.restored()
        return connected

    def on_connection_error_before_connected(self, exc: Exception) -> None:
        """Called by Celery, whose own version only logs."""
        _redis.lost(exc, advice(exc))

    def on_connection_error_after_connected(self, exc: Exception) -> None:
        """Called by Celery."""
        _redis.lost(exc, advice(exc))
        super().on_connection_error_after_connected(exc)


def _connect(connect: Any, errback: Any, *args: Any, **options: Any) -> Any:
    """``Connection.ensure_connection`` without Celery's line per attempt."""
    return connect(
        lambda error, _: _redis.lost(error, advice(error)),
        *args,
        **options,
        interval_start=FIRST_PAUSE,
        interval_step=FIRST_PAUSE,
        interval_max=LONGEST_PAUSE,
    )


def tell_losses_once() -> None:
    """Drop Celery's lines on a lost connection, which repeat ours."""
    for module in (consumer, request):
        logging.getLogger(module.__name__).addFilter(_is_news)


def _is_news(line: logging.LogRecord) -> bool:
    said = line.getMessage()
    return not any(words in said for words in CELERYS_OWN)


class ColdStatus(StartStopStep):
    """A cold shutdown interrupts tasks, so the worker exits with 1, not with Celery's
    0."""

    def terminate(self, parent: Any) -> None:
        """Called by Celery in a cold shutdown."""
        parent.exitcode = 1


class NamedRequest(Request):
    """A task as the parent sees it; for ``Request`` of the app's tasks."""

    def cancel(self, pool: Any, signal: Any = None, emit_retry: bool = True) -> None:
        """Called by Celery when Redis is lost: it would first store there that the task
        comes again, fail, and log a traceback. Nobody reads that state."""
        super().cancel(pool, signal, emit_retry=False)

    def on_failure(self, *args: Any, **kwargs: Any) -> None:
        """Called by Celery when a child failed, hung or died with the task."""
        token = current_task_id.set(self.id)
        try:
            super().on_failure(*args, **kwargs)
        finally:
            current_task_id.reset(token)
