"""Heartbeat of worker and beat: a file whose age shows it, without asking any server.

A probe (of a container or of Kubernetes) checks the file's age:
``find "$CELERY_HEARTBEAT_FILE" -mmin -0.5 | grep -q .``
"""

import logging
import time
from collections.abc import Callable, Iterable
from functools import cached_property
from pathlib import Path
from typing import Any

from celery.beat import PersistentScheduler, SchedulingError
from celery.bootsteps import StartStopStep
from celery.worker import state
from kombu import Producer
from kombu.exceptions import KombuError
from redis.exceptions import RedisError

from app.infrastructure.redis.advice import advice
from app.tasks.log_context import QUIET
from chassis.outages import Outage

logger = logging.getLogger(__name__)

_redis = Outage("Redis, which takes what beat sends")

# Seconds that a task may exceed its time limit before its child counts as hung: a
# healthy worker kills the child at the limit.
GRACE = 10


class Liveness(StartStopStep):
    """Touches the file every second, unless a task has exceeded its time limit."""

    requires = ("celery.worker.components:Timer",)

    def start(self, parent: Any) -> None:
        """Called by Celery when the worker starts."""
        file = parent.app.conf.heartbeat_file
        if file:
            touch = sign_of_life(Path(file), parent.app.conf.task_time_limit)
            touch()
            parent.timer.call_repeatedly(1.0, touch)


def sign_of_life(
    file: Path,
    time_limit: float,
    requests: Callable[[], Iterable[Any]] = lambda: tuple(state.active_requests),
) -> Callable[[], None]:
    """The timer's action; ``requests`` are the tasks that run now."""

    def touch() -> None:
        latest = time.time() - time_limit - GRACE
        if all((request.time_start or latest) >= latest for request in requests()):
            file.touch()

    return touch


class LivingScheduler(PersistentScheduler):
    """Beat's scheduler; touches the file every second in its loop, also while it waits
    for Redis."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **{**kwargs, "max_interval": 1})

    def tick(self, *args: Any, **kwargs: Any) -> float:
        """Called by Celery; returns the seconds until its next call."""
        self.touch()
        return float(super().tick(*args, **kwargs))

    def touch(self) -> None:
        """Show that the loop runs."""
        file = self.app.conf.heartbeat_file
        if file:
            Path(file).touch()

    def apply_entry(self, entry: Any, producer: Any = None) -> None:
        """As Celery's, but logs an outage of Redis once: a task that is due now is soon
        due again."""
        level = logging.DEBUG if entry.task in QUIET else logging.INFO
        logger.log(level, "Sending due task %s (%s)", entry.name, entry.task)
        try:
            self.apply_async(entry, producer=producer, advance=False)
            _redis.restored()
        except SchedulingError as error:
            cause = error.__context__
            if isinstance(cause, KombuError | RedisError | OSError):
                _redis.lost(cause, advice(cause))
            else:
                logger.warning("%s", error, exc_info=True)

    @cached_property
    def producer(self) -> Any:
        """As Celery's, but with pauses short enough for the probe."""

        def waiting(error: Exception, seconds: float) -> None:
            _redis.lost(error, advice(error))
            self.touch()

        connection = self.connection.ensure_connection(
            waiting, interval_start=1, interval_step=1, interval_max=5
        )
        _redis.restored()
        return Producer(connection, auto_declare=False)
