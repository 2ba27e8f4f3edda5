"""A minimal caller that follows the contract."""

import json
import time
import uuid
from types import TracebackType
from typing import Any, Protocol, Self

import amqp


class Rabbit(Protocol):
    """The part of the `rabbitmq` fixture that the tests use."""

    host: str
    port: int
    user: str
    password: str
    pid: int

    management_url: str

    def start(self) -> None: ...
    def kill(self) -> None: ...
    def crash(self) -> None: ...
    def pause(self) -> None: ...
    def resume(self) -> None: ...
    def set_alarm(self, *, is_full: bool) -> None: ...
    def consumers(self, queue: str, vhost: str | None = None) -> int: ...


class Reply:
    def __init__(self, message: Any) -> None:
        self.body = json.loads(message.body)
        self.properties = message.properties
        self.headers = message.properties.get("application_headers", {})

    @property
    def status(self) -> str:
        return str(self.headers["x-status"])


class Caller:
    """One connection, one exclusive reply queue; replies by correlation id."""

    def __init__(self, rabbit: Rabbit, vhost: str, queue: str) -> None:
        self._queue = queue
        self._connection = amqp.Connection(
            f"{rabbit.host}:{rabbit.port}",
            userid=rabbit.user,
            password=rabbit.password,
            virtual_host=vhost,
            connect_timeout=5,
        )
        self._connection.connect()
        self._channel = self._connection.channel()
        self._channel.auto_decode = False
        self.reply_to = f"rpc.reply.{uuid.uuid4().hex}"
        self._channel.queue_declare(self.reply_to, exclusive=True)
        self._channel.basic_consume(self.reply_to, no_ack=True, callback=self._arrived)
        self._replies: dict[str, list[Reply]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._connection.collect()

    def _arrived(self, message: Any) -> None:
        reply = Reply(message)
        self._replies.setdefault(reply.properties["correlation_id"], []).append(reply)

    def send(
        self,
        payload: Any,
        *,
        deadline: float = 60.0,
        body: bytes | None = None,
        reply_to: str | None = None,
        correlation_id: str | None = None,
        headers: dict[str, Any] | None = None,
    ) -> str:
        """Publish a request with a deadline in that many seconds; returns its id."""
        correlation_id = correlation_id or uuid.uuid4().hex
        request = {"payload": payload, "description": None}
        message = amqp.Message(
            json.dumps(request).encode() if body is None else body,
            content_type="application/json",
            content_encoding="utf-8",
            correlation_id=correlation_id,
            reply_to=self.reply_to if reply_to is None else reply_to or None,
            application_headers={
                "x-time-left": int(deadline * 1000),
                "x-sent-at": int(time.time() * 1000),
                "x-request-id": correlation_id,
                **(headers or {}),
            },
        )
        self._channel.basic_publish(message, routing_key=self._queue)
        return correlation_id

    def reply(self, correlation_id: str, within: float = 20.0) -> Reply:
        """Wait for the reply and take it. Raises TimeoutError."""
        until = time.monotonic() + within
        while not self._replies.get(correlation_id):
            left = until - time.monotonic()
            if left <= 0:
                raise TimeoutError(f"no reply within {within} s")
            self._drain(left)
        return self._replies[correlation_id].pop(0)

    def call(self, payload: Any, **options: Any) -> Reply:
        return self.reply(self.send(payload, **options))

    def depth(self, queue: str) -> int:
        """The number of ready messages in a queue."""
        declared = self._channel.queue_declare(queue, passive=True)
        assert declared
        return int(declared[1])

    def take(self, queue: str) -> Any:
        """Take one message of a queue, or None."""
        return self._channel.basic_get(queue, no_ack=True)

    def _drain(self, timeout: float) -> None:
        try:
            self._connection.drain_events(timeout=timeout)
        except TimeoutError:
            pass
