"""Redis, asked directly: Celery has connections of its own."""

from redis.asyncio import Redis
from redis.exceptions import RedisError

from app.core.config import CelerySettings
from app.core.exceptions import BrokerUnavailable


class RedisProbe:
    """Tells whether Redis answers."""

    def __init__(self, settings: CelerySettings) -> None:
        self._redis = Redis.from_url(
            settings.celery_broker_url.get_secret_value(),
            socket_timeout=1.0,
            socket_connect_timeout=1.0,
        )

    async def check(self) -> None:
        """Raises BrokerUnavailable if Redis does not answer."""
        try:
            await self._redis.ping()
        except (RedisError, OSError) as error:
            raise BrokerUnavailable("Redis does not answer.") from error

    async def close(self) -> None:
        """Give the connection back."""
        await self._redis.aclose()
