"""The way to Redis of an event loop."""

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff


def connect_redis(url: str, connections: int) -> Redis:
    """A client that connects on first use, and tries each command twice: idle
    connections die with a Redis that was restarted meanwhile.

    The caller sets the time-out. That of redis-py makes each write a ``wait_for``,
    which on Python 3.11 may swallow a cancellation, and so the caller's time-out.
    """
    pool = BlockingConnectionPool.from_url(
        url,
        max_connections=connections,
        timeout=None,
        socket_timeout=None,
        retry=Retry(NoBackoff(), 1),
    )
    return Redis.from_pool(pool)
