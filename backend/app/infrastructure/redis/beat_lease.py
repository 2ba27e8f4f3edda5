"""Which of several beats is active, and when each task was last sent: both in Redis, to
which beat sends."""

import time
from contextlib import suppress
from datetime import datetime
from typing import Any

from redis.backoff import NoBackoff
from redis.exceptions import LockError, RedisError
from redis.retry import Retry

from app.core.redis_settings import CelerySettings
from app.infrastructure.redis.client import connect_blocking
from app.infrastructure.redis.login import file_login

#: An active beat that is gone keeps the others from taking over for so long.
LEASE_SECONDS = 4.0

# Seconds for one step of a command: the lease must not end while beat waits for it.
ANSWER_SECONDS = 1.0


class BeatLease:
    """One beat at a time has it. Its methods raise RedisError or OSError."""

    def __init__(
        self, settings: CelerySettings, seconds: float = LEASE_SECONDS
    ) -> None:
        url = settings.broker_url.get_secret_value()
        self._redis: Any = connect_blocking(
            url, ANSWER_SECONDS, file_login(settings, "broker_url")
        )
        self._redis.set_retry(Retry(NoBackoff(), 1))
        self._runs = f"{settings.key_prefix}beat:runs"
        # Another thread asks `is_held`, and the end of the process releases it.
        self._lock = self._redis.lock(
            f"{settings.key_prefix}beat:lease",
            timeout=seconds,
            blocking=False,
            thread_local=False,
        )
        self._seconds = seconds
        self._until = 0.0

    def is_held(self) -> bool:
        """Whether this process has it for certain: it asks no server."""
        return time.monotonic() < self._until

    def renew(self) -> bool:
        """Keep it, or take it if it is free; returns whether this process has it."""
        begun = time.monotonic()  # Redis counts from later on
        try:
            self._lock.reacquire()
        except LockError:
            if not self._lock.acquire():
                self._until = 0.0
                return False
        self._until = begun + self._seconds
        return True

    def release(self) -> None:
        """Let another beat have it at once, if Redis answers; raises nothing."""
        self._until = 0.0
        with suppress(RedisError, OSError):
            self._lock.release()

    def note_run(self, name: str, moment: datetime) -> None:
        """An entry of the schedule was sent."""
        self._redis.hset(self._runs, name, moment.isoformat())

    def read_runs(self) -> dict[str, datetime]:
        """When the entries were last sent, by any beat."""
        found = self._redis.hgetall(self._runs)
        return {
            name.decode(): datetime.fromisoformat(moment.decode())
            for name, moment in found.items()
        }
