"""Redis, asked directly: what Celery's result backend knows of a task."""

import asyncio
import json
from collections.abc import Awaitable
from contextlib import AbstractContextManager
from typing import Any

from opentelemetry.trace import SpanKind
from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from app.core import tracing
from app.core.config import CelerySettings
from app.core.exceptions import BrokerUnavailable

TIMEOUT = 1.0
CONNECTIONS = 16


def redis_span(operation: str) -> AbstractContextManager[object]:
    """A span around one command, where it is part of a trace."""
    return tracing.inner_span(
        operation,
        SpanKind.CLIENT,
        {"db.system.name": "redis", "db.operation.name": operation},
    )


def connect(url: str, connections: int) -> Redis:
    """A client that connects on first use, and tries each command twice: idle
    connections die with a Redis that was restarted meanwhile.

    Whoever uses it sets the time-out. That of redis-py makes each write a ``wait_for``,
    which on Python 3.11 may swallow a cancellation, and so the time-out of a caller.
    """
    pool = BlockingConnectionPool.from_url(
        url,
        max_connections=connections,
        timeout=None,
        socket_timeout=None,
        retry=Retry(NoBackoff(), 1),
    )
    return Redis.from_pool(pool)


class TaskStates:
    """Reads what Celery notes; never writes."""

    def __init__(self, settings: CelerySettings) -> None:
        self._redis = connect(settings.result_backend.get_secret_value(), CONNECTIONS)

    async def check(self) -> None:
        """Raises BrokerUnavailable if Redis does not answer."""
        await self._ask(self._redis.ping())

    async def get(self, task_id: str) -> str | None:
        """Celery's state of a task, such as ``STARTED``; None if it has none.

        Raises:
            BrokerUnavailable: Redis does not answer.
        """
        with redis_span("GET"):
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
