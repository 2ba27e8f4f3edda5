"""Redis for Celery, at less cost for each task than by its own classes.

Both stand in for classes of kombu and Celery under the same URLs; see ``install``.
"""

import logging
import os
from typing import Any

from celery import Celery
from celery.backends.redis import RedisBackend
from kombu import transport
from kombu.transport import redis as kombu_redis
from kombu.transport import virtual
from redis.exceptions import ConnectionError as RedisConnectionError

logger = logging.getLogger(__name__)

SCHEMES = ("redis", "rediss")


def install(app: Celery) -> None:
    """Have ``app`` keep its results by ResultBackend, and this process its messages
    by Transport."""
    app.loader.override_backends = {
        scheme: f"{__name__}:ResultBackend" for scheme in SCHEMES
    }
    for scheme in SCHEMES:
        transport.TRANSPORT_ALIASES[scheme] = f"{__name__}:Transport"


class Silent:
    """A connection on which Redis answers nothing, so that nobody waits for it.

    What is sent may be lost with Redis or the connection.
    """

    def __init__(self, client: Any) -> None:
        self._pool = client.connection_pool
        self._connection: Any = None
        self._pid = 0

    def send(self, *commands: tuple[Any, ...]) -> None:
        """Send commands; on a new connection if the old one turns out to be broken.

        Raises:
            redis.ConnectionError, OSError: Redis is not there.
        """
        for last in (False, True):
            try:
                connection = self._connected()
                packed = connection.pack_commands(commands)
                connection.send_packed_command(packed, check_health=False)
                return
            except (RedisConnectionError, OSError):
                self._connection = None
                if last:
                    raise

    def _connected(self) -> Any:
        if self._connection is None or self._pid != os.getpid():
            connection = self._pool.make_connection()
            connection.connect()
            connection.send_command("CLIENT", "REPLY", "OFF", check_health=False)
            self._connection, self._pid = connection, os.getpid()
        return self._connection


class QoS(kombu_redis.QoS):
    """Acknowledges in silence: one that is lost lets the task run once more."""

    _silent: Silent | None = None

    def ack(self, delivery_tag: str) -> None:
        """Let go of a message."""
        if self._silent is None:
            channel: Any = self.channel
            with channel.conn_or_acquire() as client:
                self._silent = Silent(client)
        self._silent.send(
            ("ZREM", self.unacked_index_key, delivery_tag),
            ("HDEL", self.unacked_key, delivery_tag),
        )
        virtual.QoS.ack(self, delivery_tag)


class Channel(kombu_redis.Channel):
    """Keeps its client; kombu makes a new one, of 80 µs, for each command."""

    QoS = QoS
    _kept: Any = None

    def _create_client(self, asynchronous: bool = False) -> Any:
        create: Any = super()._create_client  # type: ignore[misc]
        if asynchronous:
            return create(asynchronous=True)
        if self._kept is None:
            self._kept = create()
        return self._kept


class Transport(kombu_redis.Transport):
    """kombu's, with that channel."""

    Channel = Channel


class ResultBackend(RedisBackend):
    """Sends each state of a task in silence.

    Celery's own asks for the state before, and waits twice. Here the record tells how
    a task ended: a state in Redis adds detail while it is under way, and may be lost.
    """

    _silent: Silent | None = None

    def _store_result(
        self,
        task_id: str,
        result: Any,
        state: str,
        traceback: Any = None,
        request: Any = None,
        **_: Any,
    ) -> Any:
        meta = self._get_result_meta(  # type: ignore[attr-defined]
            result=result, state=state, traceback=traceback, request=request
        )
        meta["task_id"] = task_id
        key, value = self.get_key_for_task(task_id), self.encode(meta)
        expires = self.expires  # type: ignore[attr-defined]
        keep = ("SETEX", key, expires) if expires else ("SET", key)
        if self._silent is None:
            self._silent = Silent(self.client)
        try:
            self._silent.send((*keep, value), ("PUBLISH", key, value))
        except (RedisConnectionError, OSError) as error:
            logger.warning("Redis did not take a task's state: %r", error)
        return result
