"""kombu's Redis transport with one client per channel.

kombu creates a redis-py client for every command. Receiving and acknowledging a task
created two, which cost a seventh of a worker's CPU time.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from kombu.transport import TRANSPORT_ALIASES, redis


class KeptClientChannel(redis.Channel):
    """Creates a client when its connection pool is new, and keeps it."""

    _kept: Any = None

    @contextmanager
    def conn_or_acquire(self, client: Any = None) -> Iterator[Any]:
        """kombu calls this around each command; yields the client to use."""
        if client is None and self._is_current(self._kept):
            client = self._kept
        with super().conn_or_acquire(client) as used:
            if self._is_current(used):
                self._kept = used
            yield used

    def _is_current(self, client: Any) -> bool:
        return client is not None and client.connection_pool is self.pool


class KeptClientTransport(redis.Transport):
    """For the URL schemes ``redis`` and ``rediss``."""

    Channel = KeptClientChannel


def register_transport() -> None:
    """Make kombu use this transport for all connections of this process."""
    name = f"{__name__}:{KeptClientTransport.__name__}"
    TRANSPORT_ALIASES.update(redis=name, rediss=name)
