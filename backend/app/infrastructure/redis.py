"""Redis, asked directly: what Celery's result backend knows of a task."""

import json
from contextlib import AbstractContextManager

from opentelemetry.trace import SpanKind
from redis.asyncio import Redis
from redis.exceptions import RedisError

from app.core import tracing
from app.core.config import CelerySettings
from app.core.exceptions import BrokerUnavailable

TIMEOUT = 1.0


def redis_span(operation: str) -> AbstractContextManager[object]:
    """A span around one command, where it is part of a trace."""
    return tracing.inner_span(
        operation,
        SpanKind.CLIENT,
        {"db.system.name": "redis", "db.operation.name": operation},
    )


class TaskStates:
    """Reads what Celery notes; never writes."""

    def __init__(self, settings: CelerySettings) -> None:
        self._redis = Redis.from_url(
            settings.result_backend.get_secret_value(),
            socket_timeout=TIMEOUT,
            socket_connect_timeout=TIMEOUT,
        )

    async def check(self) -> None:
        """Raises BrokerUnavailable if Redis does not answer."""
        try:
            await self._redis.ping()
        except (RedisError, OSError) as error:
            raise BrokerUnavailable("Redis does not answer.") from error

    async def get(self, task_id: str) -> str | None:
        """Celery's state of a task, such as ``STARTED``; None if it has none.

        Raises:
            BrokerUnavailable: Redis does not answer.
        """
        try:
            with redis_span("GET"):
                meta = await self._redis.get(f"celery-task-meta-{task_id}")
        except (RedisError, OSError) as error:
            raise BrokerUnavailable("Redis does not answer.") from error
        return None if meta is None else str(json.loads(meta)["status"])

    async def close(self) -> None:
        """Give the connection back."""
        await self._redis.aclose()
