"""Clients of Redis, from the URLs of the settings."""

import asyncio
from collections.abc import Awaitable
from typing import Any

from redis import CredentialProvider
from redis import Redis as BlockingRedis
from redis import sentinel as blocking_sentinel
from redis.asyncio import (
    BlockingConnectionPool,
    ConnectionPool,
    Redis,
    SSLConnection,
    UnixDomainSocketConnection,
)
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import Sentinel, SentinelConnectionPool
from redis.backoff import NoBackoff
from redis.exceptions import ReadOnlyError, RedisError
from redis.retry import Retry as BlockingRetry

from app.core.broken_transports import is_broken_transport
from app.infrastructure.redis.advice import advice
from chassis.outages import Outage
from chassis.redis_url import RedisUrl

# Seconds for one answer of a Sentinel: there are others to ask.
SENTINEL_TIMEOUT = 0.2


def sentinel_options(place: RedisUrl) -> dict[str, Any]:
    """redis-py's options for clients of the Sentinels, which wait for none for long."""
    return {
        **place.sentinel_options,
        "socket_timeout": SENTINEL_TIMEOUT,
        "socket_connect_timeout": SENTINEL_TIMEOUT,
        "retry": BlockingRetry(NoBackoff(), 0),
    }


def _login(place: RedisUrl, provider: CredentialProvider | None) -> dict[str, Any]:
    if provider is None:
        return place.login
    return {"db": place.database, "credential_provider": provider}


def connect_redis(
    url: str, connections: int, login: CredentialProvider | None = None
) -> Redis:
    """A client that connects on first use and tries each command twice: idle
    connections break when Redis restarts, and after a failover they may lead to a
    replica. A ``login`` replaces that of the URL.

    The caller sets the timeout. redis-py would wrap each write in ``wait_for``, which
    may swallow a cancellation on Python 3.11, and with it the caller's timeout.
    """
    place = RedisUrl.read(url)
    return Redis.from_pool(
        _pool(
            place,
            {
                **_login(place, login),
                **(place.tls or {}),
                "max_connections": connections,
                "timeout": None,
                "socket_timeout": None,
                "retry": Retry(NoBackoff(), 1),
                "retry_on_error": [ReadOnlyError],
            },
        )
    )


class _SentinelPool(SentinelConnectionPool, BlockingConnectionPool):
    """Waits for a free connection, as the pool without Sentinels does."""

    async def aclose(self) -> None:
        await super().aclose()
        await self.sentinel_manager.aclose()


def _pool(place: RedisUrl, options: dict[str, Any]) -> ConnectionPool:
    if place.socket:
        return BlockingConnectionPool(
            connection_class=UnixDomainSocketConnection, path=place.socket, **options
        )
    has_tls = place.tls is not None
    if place.master_name:
        asked = {**sentinel_options(place), "retry": Retry(NoBackoff(), 0)}
        # redis-py's Sentinels have no types.
        new_pool: Any = _SentinelPool
        new_sentinel: Any = Sentinel
        sentinels = new_sentinel(place.hosts, sentinel_kwargs=asked)
        pool: ConnectionPool = new_pool(
            place.master_name, sentinels, ssl=has_tls, **options
        )
        return pool
    ((host, port),) = place.hosts
    if has_tls:
        options["connection_class"] = SSLConnection
    return BlockingConnectionPool(host=host, port=port, **options)


def connect_blocking(
    url: str, seconds: float, login: CredentialProvider | None = None
) -> BlockingRedis:
    """A client for threads; each step of a command takes at most so many seconds."""
    place = RedisUrl.read(url)
    options: dict[str, Any] = {
        **_login(place, login),
        **(place.tls or {}),
        "socket_timeout": seconds,
        "socket_connect_timeout": seconds,
        "ssl": place.tls is not None,
    }
    if place.socket:
        return BlockingRedis(unix_socket_path=place.socket, **options)
    if place.master_name:
        new_sentinel: Any = blocking_sentinel.Sentinel
        asked = sentinel_options(place)
        sentinels = new_sentinel(place.hosts, sentinel_kwargs=asked)
        client: BlockingRedis = sentinels.master_for(place.master_name, **options)
        return client
    ((host, port),) = place.hosts
    return BlockingRedis(host=host, port=port, **options)


async def ask(answer: Awaitable[Any], seconds: float, outage: Outage) -> Any:
    """Await one answer of Redis, in limited time; logs the start of an outage once.

    Raises RedisError or OSError if there is no answer in time (TimeoutError is an
    OSError).
    """
    try:
        async with asyncio.timeout(seconds):
            found = await _answered(answer)
    except (RedisError, OSError) as error:
        outage.lost(error, advice(error))
        raise
    outage.restored()
    return found


async def _answered(answer: Awaitable[Any]) -> Any:
    try:
        return await answer
    except RuntimeError as error:
        if is_broken_transport(error):
            raise ConnectionResetError(str(error)) from error
        raise


async def leave_replica(client: Redis, error: Exception) -> None:
    """Close all connections if a script met a replica: the next ones will lead to the
    primary. redis-py does so for other commands; a script's error has no type of its
    own on Redis 6."""
    if "read only replica" in str(error):
        await client.connection_pool.disconnect()
