"""What lies in Celery's lists in Redis: for the sweep, and for metrics."""

import json
from collections.abc import Iterator
from itertools import count
from types import TracebackType
from typing import Any, Self

from kombu.transport.redis import Channel

from app.core.redis_settings import CelerySettings
from app.infrastructure.celery import QUEUES, SOCKET_TIMEOUT
from app.infrastructure.redis.client import connect_blocking
from app.infrastructure.redis.login import file_login

MESSAGES_AT_ONCE = 16


class TaskLists:
    """Reads them, never writes; connects on first use. Its methods raise RedisError or
    OSError."""

    def __init__(self, settings: CelerySettings) -> None:
        url = settings.broker_url.get_secret_value()
        self._redis: Any = connect_blocking(
            url, SOCKET_TIMEOUT, file_login(settings, "broker_url")
        )
        self._prefix = settings.key_prefix

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._redis.close()

    def count_waiting(self, queue: str) -> int:
        """How many tasks no worker has taken yet."""
        return int(self._redis.llen(self._prefix + queue))

    def read_messages(self) -> Iterator[Any]:
        """Waiting messages and those held by workers, a few at a time: bodies may be
        large.

        New messages go to the front of the list, so none is missed. A message that a
        worker takes from its end meanwhile is among the held ones, which are read last.
        """
        for queue in QUEUES:
            for start in count(0, MESSAGES_AT_ONCE):
                end = start + MESSAGES_AT_ONCE - 1
                found = self._redis.lrange(self._prefix + queue, start, end)
                yield from map(json.loads, found)
                if len(found) < MESSAGES_AT_ONCE:
                    break
        # kombu stores held messages as [message, exchange, routing key].
        key = self._prefix + Channel.unacked_key
        for _, held in self._redis.hscan_iter(key, count=MESSAGES_AT_ONCE):
            message = json.loads(held)[0]
            yield json.loads(message) if isinstance(message, str) else message
