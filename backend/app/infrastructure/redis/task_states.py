"""Redis, asked directly: what Celery's result backend knows of a task."""

import asyncio
import json
from collections.abc import Awaitable
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from app.core.config import CelerySettings
from app.core.exceptions import BrokerUnavailable

TIMEOUT = 1.0


class TaskStates:
    """Reads what Celery notes; never writes."""

    def __init__(self, settings: CelerySettings) -> None:
        self._redis = Redis.from_url(
            settings.result_backend.get_secret_value(),
            # `_ask` is the time-out: redis-py's own may swallow a cancellation on
            # Python 3.11, and its retries would take longer.
            socket_timeout=None,
            retry=Retry(NoBackoff(), 1),
        )

    async def check(self) -> None:
        """Raises BrokerUnavailable if Redis does not answer."""
        await self._ask(self._redis.ping())

    async def get(self, task_id: str) -> str | None:
        """Celery's state of a task, such as ``STARTED``; None if it has none.

        Raises:
            BrokerUnavailable: Redis does not answer.
        """
        meta = await self._ask(self._redis.get(f"celery-task-meta-{task_id}"))
        return None if meta is None else str(json.loads(meta)["status"])

    async def _ask(self, answer: Awaitable[Any]) -> Any:
        try:
            async with asyncio.timeout(TIMEOUT):
                return await answer
        except (RedisError, OSError) as error:  # TimeoutError is an OSError
            raise BrokerUnavailable("Redis does not answer.") from error

    async def close(self) -> None:
        """Give the connection back."""
        await self._redis.aclose()
