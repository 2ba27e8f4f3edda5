"""kombu's Redis transports, and Celery's result backend, with what they lack: they
leave a replica, keep one client per channel, and survive a lost acknowledgement.

kombu creates a redis-py client for every command. Receiving and acknowledging a task
created two, which cost a seventh of a worker's CPU time.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from celery import Celery
from celery.backends.redis import RedisBackend
from kombu.transport import TRANSPORT_ALIASES, redis, virtual
from redis import Connection, SSLConnection
from redis.exceptions import ConnectionError as ConnectionLost
from redis.exceptions import ReadOnlyError


class _LeavesReplica:
    """After a failover a connection may lead to a replica. It counts as lost, as with
    Sentinel: the next one leads to the new primary."""

    disconnect: Any

    def read_response(self, *args: Any, **options: Any) -> Any:
        """Called by redis-py."""
        try:
            return super().read_response(*args, **options)  # type: ignore[misc]
        except ReadOnlyError as error:
            self.disconnect()
            raise ConnectionLost("this Redis is a replica now") from error


class PrimaryConnection(_LeavesReplica, Connection):
    """For ``redis://``."""


class PrimaryTlsConnection(_LeavesReplica, SSLConnection):
    """For ``rediss://``."""


class FreeingQoS(redis.QoS):
    """Frees a message's place also when Redis is lost before it was acknowledged.

    kombu keeps the place. Without a free one, a worker stops polling: it would never
    see that Redis is lost, nor take a task again. Redis still has the message, and
    hands it out again after the visibility timeout.
    """

    def ack(self, delivery_tag: str) -> None:
        """Called by kombu."""
        with self._freeing(delivery_tag):
            super().ack(delivery_tag)

    def reject(self, delivery_tag: str, requeue: bool = False) -> None:
        """Called by kombu."""
        with self._freeing(delivery_tag):
            super().reject(delivery_tag, requeue)

    @contextmanager
    def _freeing(self, delivery_tag: str) -> Iterator[None]:
        try:
            yield
        except Exception:
            virtual.QoS.ack(self, delivery_tag)
            raise


class KeptClientChannel(redis.Channel):
    """Creates a client when its connection pool is new, and keeps it."""

    QoS = FreeingQoS
    connection_class = PrimaryConnection
    connection_class_ssl = PrimaryTlsConnection

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


class FreeingSentinelChannel(redis.SentinelChannel):
    """kombu's, which asks a Sentinel for the primary."""

    QoS = FreeingQoS


class FreeingSentinelTransport(redis.SentinelTransport):
    """For the URL scheme ``sentinel``."""

    Channel = FreeingSentinelChannel


def register_transport() -> None:
    """Make kombu use these transports for all connections of this process."""
    name = f"{__name__}:{KeptClientTransport.__name__}"
    sentinel = f"{__name__}:{FreeingSentinelTransport.__name__}"
    TRANSPORT_ALIASES.update(redis=name, rediss=name, sentinel=sentinel)


class PrimaryBackend(RedisBackend):
    """For the URL schemes ``redis`` and ``rediss``."""

    connparams: dict[str, Any]

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        kinds = {None: PrimaryConnection, SSLConnection: PrimaryTlsConnection}
        kind = self.connparams.get("connection_class")
        self.connparams["connection_class"] = kinds.get(kind, kind)


def register_backend(app: Celery) -> None:
    """Make this application store its results by this backend."""
    name = f"{__name__}:{PrimaryBackend.__name__}"
    app.loader.override_backends = {"redis": name, "rediss": name}
