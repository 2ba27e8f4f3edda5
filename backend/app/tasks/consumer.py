"""What the worker's parent does otherwise than Celery: it finds Redis again soon after
that is back, names the task whose failure it reports, and says when it has failed."""

import logging
from functools import partial
from typing import Any

from celery.bootsteps import StartStopStep
from celery.worker.consumer import Consumer, consumer
from celery.worker.request import Request

from app.infrastructure.redis.advice import advice
from chassis.context import current_task_id
from chassis.outages import Outage

# Seconds between attempts to connect: the first pause, and the longest. Those of Celery
# grow to 30 s, for which accepted work would wait after Redis has long been back.
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 2.0


# Celery's line on a loss.
CELERYS_OWN = "Connection to broker lost"

_redis = Outage("Redis, which hands out tasks")


class PromptConsumer(Consumer):
    """Celery's own, with shorter pauses and fewer lines; for the setting
    ``worker_consumer``."""

    def ensure_connected(self, conn: Any) -> Any:
        """Called by Celery with a connection that shall be made, at start and after a
        loss; returns it when it is."""
        conn.ensure_connection = partial(_connect, conn.ensure_connection)
        connected = super().ensure_connected(conn)
        _redis.restored()
        return connected

    def on_connection_error_before_connected(self, exc: Exception) -> None:
        """Called by Celery, whose own only logs."""
        _redis.lost(exc, advice(exc))

    def on_connection_error_after_connected(self, exc: Exception) -> None:
        """Called by Celery."""
        _redis.lost(exc, advice(exc))
        super().on_connection_error_after_connected(exc)


def _connect(connect: Any, errback: Any, *args: Any, **options: Any) -> Any:
    """``Connection.ensure_connection`` without Celery's line for each attempt."""
    return connect(
        lambda error, _: _redis.lost(error, advice(error)),
        *args,
        **options,
        interval_start=FIRST_PAUSE,
        interval_step=FIRST_PAUSE,
        interval_max=LONGEST_PAUSE,
    )


def tell_losses_once() -> None:
    """Leave out Celery's line on a loss, which repeats ours."""
    lines = logging.getLogger(consumer.__name__)
    lines.addFilter(lambda line: CELERYS_OWN not in line.getMessage())


class ColdStatus(StartStopStep):
    """A worker that is stopped cold has not done what it should: its exit status says
    so, which Celery leaves at 0."""

    def terminate(self, parent: Any) -> None:
        """Called by Celery in a cold shutdown."""
        parent.exitcode = 1


class NamedRequest(Request):
    """A task as the parent sees it; for ``Request`` of the app's tasks."""

    def on_failure(self, *args: Any, **kwargs: Any) -> None:
        """Called by Celery when a child has failed, hung or died with the task."""
        token = current_task_id.set(self.id)
        try:
            super().on_failure(*args, **kwargs)
        finally:
            current_task_id.reset(token)
