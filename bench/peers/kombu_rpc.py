"""Request and reply over kombu, by a connection for each call or by one kept open."""

import json
from typing import Any
from uuid import uuid4

from kombu import Connection, Consumer, Queue

TIMEOUT = 30


def call_once(url: str, queue: str, body: bytes) -> Any:
    """Connect, declare a callback queue, send, wait for the reply, disconnect."""
    with Connection(url) as connection:
        caller = _Caller(connection)
        try:
            return caller.call(queue, body)
        finally:
            caller.cancel()


class PooledRpc:
    """One connection and one callback queue for all calls of a process."""

    def __init__(self, url: str) -> None:
        self._caller = _Caller(Connection(url))

    def __call__(self, queue: str, body: bytes) -> Any:
        """Send and wait for the reply."""
        return self._caller.call(queue, body)


class _Caller:
    """A channel that consumes from a temporary callback queue of its own."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self._channel = connection.channel()
        self._callback = Queue("", exclusive=True, auto_delete=True)(self._channel)
        self._callback.declare()
        self._replies: list[Any] = []
        self._consumer = Consumer(
            self._channel,
            [self._callback],
            on_message=lambda message: self._replies.append(message.body),
            no_ack=True,
            auto_declare=False,
        )
        self._consumer.consume()
        self.cancel = self._consumer.cancel

    def call(self, queue: str, body: bytes) -> Any:
        properties = {
            "correlation_id": str(uuid4()),
            "reply_to": self._callback.name,
        }
        message = self._channel.prepare_message(
            body, content_type="application/json", properties=properties
        )
        self._channel.basic_publish(message, exchange="", routing_key=queue)
        while not self._replies:
            self._connection.drain_events(timeout=TIMEOUT)
        return json.loads(self._replies.pop())
