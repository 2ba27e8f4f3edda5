"""Counts of requests in Redis, for rate limits of all API processes together."""

import time

from limits.aio.storage import RedisStorage
from redis import CredentialProvider
from redis.exceptions import RedisError

from app.infrastructure.redis.client import ask, connect_redis, leave_replica
from chassis.outages import Outage

#: Seconds that a request waits for Redis at most.
TIMEOUT = 0.25
#: Seconds without a question after Redis did not answer.
PAUSE = 1.0
CONNECTIONS = 16
PREFIX = "rate-limit"


class RequestCounts:
    """One for the whole process. Connects on first use."""

    def __init__(
        self, url: str, key_prefix: str = "", login: CredentialProvider | None = None
    ) -> None:
        self._redis = connect_redis(url, CONNECTIONS, login)
        pool = self._redis.connection_pool
        self._storage = RedisStorage(
            "async+redis://",  # the pool says where
            implementation="redispy",
            key_prefix=key_prefix + PREFIX,
            connection_pool=pool,  # type: ignore[arg-type]
        )
        self._outage = Outage(
            "Redis, which counts requests; each process keeps the rate limits alone"
        )
        self._next_question = 0.0

    async def add(self, key: str, seconds: int, amount: int) -> int | None:
        """Count more requests under a key that lives so long, and return how many there
        are; None if Redis does not answer in time, is full, or did not answer a moment
        ago."""
        if time.monotonic() < self._next_question:
            return None
        try:
            count = self._storage.incr(key, seconds, amount)
            found: int = await ask(count, TIMEOUT, self._outage)
        except (RedisError, OSError) as error:
            await leave_replica(self._redis, error)
            self._next_question = time.monotonic() + PAUSE
            return None
        return found

    async def close(self) -> None:
        """Close all connections."""
        await self._redis.aclose()
