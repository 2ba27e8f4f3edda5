"""Beat's scheduler. Several beats may run: one is active, the others stand by."""

import logging
from functools import cached_property
from pathlib import Path
from typing import Any

from celery.beat import Scheduler, SchedulingError
from kombu import Producer
from kombu.exceptions import KombuError
from redis.exceptions import RedisError

from app.infrastructure.redis.advice import advice
from app.infrastructure.redis.beat_lease import BeatLease
from app.tasks.log_context import QUIET
from chassis.outages import Outage

logger = logging.getLogger(__name__)

_redis = Outage("Redis, which takes what beat sends")

# Seconds from one look at the lease to the next, at most.
LOOK_SECONDS = 1.0


class LivingScheduler(Scheduler):
    """Sends what is due while this beat has the lease, which it renews every second.

    It touches the heartbeat file as often, also while it stands by or waits for Redis.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **{**kwargs, "max_interval": LOOK_SECONDS})
        self._lease: BeatLease = self.app.conf.beat_lease
        self._is_active: bool | None = None  # None: Redis did not tell

    def tick(self, *args: Any, **kwargs: Any) -> float:
        """Called by Celery; returns the seconds until its next call."""
        self.touch()
        try:
            self._note_role(is_active=self._lease.renew())
        except (RedisError, OSError) as error:
            self._is_active = None
            _redis.lost(error, advice(error))
        if not self._is_active:
            return LOOK_SECONDS
        return float(super().tick(*args, **kwargs))

    def _note_role(self, *, is_active: bool) -> None:
        if is_active is self._is_active:
            return
        if is_active:
            self._resume()
        self._is_active = is_active
        _redis.restored()
        logger.info("This beat is active" if is_active else "Another beat is active")

    def _resume(self) -> None:
        """Go on where the active beat stopped: send what it missed, and no more."""
        runs = self._lease.read_runs()
        for name, entry in self.schedule.items():
            entry.last_run_at = runs.get(name, entry.last_run_at)
        self.populate_heap()

    def touch(self) -> None:
        """Show that the loop runs."""
        file = self.app.conf.heartbeat_file
        if file:
            Path(file).touch()

    def apply_entry(self, entry: Any, producer: Any = None) -> None:
        """As Celery's, but logs an outage of Redis once."""
        if not self._lease.is_held():
            # This process stood still since it renewed the lease. If it gets the lease
            # again, it reads whether another beat has sent the task.
            self._is_active = None
            return
        level = logging.DEBUG if entry.task in QUIET else logging.INFO
        logger.log(level, "Sending due task %s (%s)", entry.name, entry.task)
        try:
            self.apply_async(entry, producer=producer, advance=False)
            reserved: Any = self.schedule[entry.name]  # this run is its last one
            self._lease.note_run(entry.name, reserved.last_run_at)
            _redis.restored()
        except (RedisError, OSError) as error:
            _redis.lost(error, advice(error))
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
