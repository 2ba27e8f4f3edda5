"""kombu's Redis transport with one client for each channel.

kombu makes a client of redis-py for every command. To take and acknowledge a task made
two, which cost a seventh of a worker's processor time.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from kombu.transport import TRANSPORT_ALIASES, redis


class KeptClientChannel(redis.Channel):
    """Makes a client when its pool of connections is new, and keeps it."""

    _kept: Any = None

    @contextmanager
    def conn_or_acquire(self, client: Any = None) -> Iterator[Any]:
        """Called by kombu around each command; yields the client to use."""
        if client is None and self._is_current(self._kept):
            client = self._kept
        with super().conn_or_acquire(client) as used:
            if self._is_current(used):
                self._kept = used
            yield used

    def _is_current(self, client: Any) -> bool:
        return client is not None and client.connection_pool is self.pool


class KeptClientTransport(redis.Transport):
    """For the schemes ``redis`` and ``rediss``."""

    Channel = KeptClientChannel


def register_transport() -> None:
    """Let kombu use this transport in this process, whatever makes the connection."""
    name = f"{__name__}:{KeptClientTransport.__name__}"
    TRANSPORT_ALIASES.update(redis=name, rediss=name)
