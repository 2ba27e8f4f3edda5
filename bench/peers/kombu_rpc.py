"""Request and reply over kombu, by one connection that is kept open."""

import json
from typing import Any
from uuid import uuid4

from kombu import Connection, Consumer, Queue

TIMEOUT = 30


class PooledRpc:
    """One connection and one callback queue for all calls of a process."""

    def __init__(self, url: str) -> None:
        self._connection: Any = Connection(url)
        self._channel: Any = self._connection.channel()
        self._callback = Queue("", exclusive=True, auto_delete=True)(self._channel)
        self._callback.declare()
        self._replies: list[Any] = []
        consumer = Consumer(
            self._channel,
            [self._callback],
            on_message=lambda message: self._replies.append(message.body),
            no_ack=True,
            auto_declare=False,
        )
        consumer.consume()

    def __call__(self, queue: str, body: bytes) -> Any:
        """Send and wait for the reply."""
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
