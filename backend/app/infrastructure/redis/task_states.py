"""Task states from Celery's result backend, read from Redis directly."""

import json
from collections.abc import Awaitable
from typing import Any

from redis.exceptions import RedisError

from app.core.exceptions import BrokerUnavailable
from app.core.redis_settings import CelerySettings
from app.infrastructure.redis.client import ask, connect_redis
from app.infrastructure.redis.login import file_login
from chassis.outages import Outage

TIMEOUT = 1.0
CONNECTIONS = 16


class TaskStates:
    """Reads the states that workers write; never writes."""

    def __init__(self, settings: CelerySettings) -> None:
        self._redis = connect_redis(
            settings.result_backend.get_secret_value(),
            CONNECTIONS,
            file_login(settings, "result_backend"),
        )
        self._prefix = f"{settings.key_prefix}celery-task-meta-"
        self._outage = Outage("Redis, which keeps the states of tasks")

    async def check(self) -> None:
        """Raise BrokerUnavailable if Redis does not answer."""
        await self._ask(self._redis.ping())

    async def get(self, task_id: str) -> str | None:
        """Celery's state of a task, such as ``STARTED``; None if unknown.

        Raises:
            BrokerUnavailable: Redis does not answer.
        """
        meta = await self._ask(self._redis.get(self._prefix + task_id))
        return None if meta is None else str(json.loads(meta)["status"])

    async def _ask(self, answer: Awaitable[Any]) -> Any:
        try:
            return await ask(answer, TIMEOUT, self._outage)
        except (RedisError, OSError) as error:
            raise BrokerUnavailable("Redis does not answer.") from error

    async def close(self) -> None:
        """Close the connection."""
        await self._redis.aclose()
