"""Redis for an event loop."""

import asyncio
from collections.abc import Awaitable
from typing import Any
from urllib.parse import urlsplit

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from app.infrastructure.redis.advice import advice
from chassis.outages import Outage


def connect_redis(url: str, connections: int) -> Redis:
    """A client that connects on first use and tries each command twice: idle
    connections break when Redis restarts.

    The caller sets the timeout. redis-py would wrap each write in ``wait_for``, which
    may swallow a cancellation on Python 3.11, and with it the caller's timeout.
    """
    pool = BlockingConnectionPool.from_url(
        url,
        max_connections=connections,
        timeout=None,
        socket_timeout=None,
        retry=Retry(NoBackoff(), 1),
    )
    return Redis.from_pool(pool)


def is_same_server(one: str, other: str) -> bool:
    """Whether two URLs lead to the same server, whatever their users and databases."""
    return _place(one) == _place(other)


def _place(url: str) -> str:
    """Host and port, or the path of the socket."""
    parts = urlsplit(url)
    address = parts.netloc.rpartition("@")[2].lower()
    if not address:
        return parts.path
    return address if ":" in address else f"{address}:6379"


async def ask(answer: Awaitable[Any], seconds: float, outage: Outage) -> Any:
    """Await one answer of Redis, in limited time; logs the start of an outage once.

    Raises RedisError or OSError if there is no answer in time (TimeoutError is an
    OSError).
    """
    try:
        async with asyncio.timeout(seconds):
            found = await answer
    except (RedisError, OSError) as error:
        outage.lost(error, advice(error))
        raise
    outage.restored()
    return found
