"""Calls to services: the synchronous and the asyncio face of one RPC client."""

import asyncio
import secrets
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal
from uuid import uuid4

from chassis import json_aside, json_text
from chassis.context import current_deadline, current_principal, current_request_id
from chassis.errors import BrokerUnavailable, DeadlineExceeded
from chassis.queues import get_service_name
from chassis.rpc import wire
from chassis.rpc.call import Call
from chassis.rpc.client import RpcClient
from chassis.rpc.tracing import traced_call
from chassis.rpc.wire import Reply
from chassis.settings import RabbitMQSettings, RpcSettings

CONNECT_WAIT = 5.0
#: The longest queue name or id that AMQP accepts, in bytes.
SHORT_STRING = 255
#: A call that takes longer, in seconds, counts as slow.
SLOW = 0.05

#: The random part of a call's id.
ID_BYTES = 8


@dataclass(frozen=True, slots=True)
class LogEvent:
    """The start or end of one call; a failed call's ``status`` is its error code."""

    status: Literal["start", "end"] | str
    queue_name: str
    task_id: str
    correlation_id: str
    task_type: str | None = None
    principal: str | None = field(default_factory=current_principal.get)
    created_at: datetime = field(
        default_factory=lambda: datetime.now(UTC), compare=False
    )

    @property
    def service_name(self) -> str:
        """The called service: ``data`` for ``data_queue``."""
        return get_service_name(self.queue_name)


OnLogEvent = Callable[[LogEvent], None]


@dataclass(frozen=True, slots=True)
class _Arguments:
    """The arguments of a call, the same for both faces."""

    queue_name: str
    task_id: str
    correlation_id: str
    on_log_event: OnLogEvent | None

    def call(self, text: str, timeout: float, on_done: Callable[[Call], None]) -> Call:
        """``text`` is the payload's."""
        headers = {wire.REQUEST_ID: self.correlation_id, wire.TASK_ID: self.task_id}
        if principal := current_principal.get():
            headers[wire.PRINCIPAL] = principal
        # Clients choose request ids and may repeat them. Whoever has seen one of our
        # calls knows where replies go: nobody may guess the id of another call.
        call_id = f"{self.correlation_id}#{secrets.token_hex(ID_BYTES)}"
        if max(len(call_id.encode()), len(self.queue_name.encode())) > SHORT_STRING:
            raise ValueError(
                "the queue's name or the correlation id is too long for AMQP"
            )
        limit = _within_deadline(timeout, self.queue_name)
        return Call(call_id, self.queue_name, text.encode(), headers, limit, on_done)

    def log(self, status: str, task_type: str | None = None) -> None:
        if self.on_log_event is not None:
            self.on_log_event(
                LogEvent(
                    status,
                    self.queue_name,
                    self.task_id,
                    self.correlation_id,
                    task_type,
                )
            )

    def result(self, call: Call) -> Reply:
        if call.error is not None:
            self.log(call.error.code)
            raise call.error
        assert call.reply is not None
        self.log("end", call.reply.task_type)
        return call.reply


def _within_deadline(timeout: float, queue_name: str) -> float:
    """Limits the timeout: a service must not wait longer than its own caller does."""
    deadline = current_deadline.get()
    if deadline is None:
        return timeout
    left = deadline - time.monotonic()
    if left <= 0:
        raise DeadlineExceeded(f"No time was left to call {queue_name}.")
    return min(timeout, left)


class EventProducer:
    """Calls services from any thread, and blocks until they answer.

    Made for Celery tasks, services and scripts. Create one per process, and another
    after a fork. Its client connects with the first call at the latest.
    """

    def __init__(self, client: RpcClient, timeout: float) -> None:
        self.client = client
        self._timeout = timeout

    @classmethod
    def connect(cls, rabbitmq: RabbitMQSettings, rpc: RpcSettings) -> "EventProducer":
        """A producer with its own client, which connects in the background."""
        client = RpcClient(rabbitmq, rpc)
        client.start()
        return cls(client, rpc.timeout_seconds)

    def call(
        self,
        queue_name: str,
        payload: dict[str, Any],
        *,
        task_id: str | None = None,
        correlation_id: str | None = None,
        timeout: float | None = None,
        on_log_event: OnLogEvent | None = None,
        on_slow: Callable[[], None] | None = None,
    ) -> Reply:
        """Send ``payload`` to the service that listens on ``queue_name``.

        Args:
            correlation_id: if None, the current request's id or a new one.
            timeout: seconds until the deadline, by default from the settings. It never
                exceeds the deadline of the request being served.
            on_log_event: called at the start and at the end of the call.
            on_slow: called once if the call takes longer than ``SLOW``.

        Raises:
            ServiceError, DeadlineExceeded, Unavailable: see ``chassis.errors``.
        """
        new_id = str(uuid4())
        if correlation_id is None:
            current = current_request_id.get()
            correlation_id = new_id if current == "-" else current
        arguments = _Arguments(
            queue_name, task_id or new_id, correlation_id, on_log_event
        )
        done = threading.Event()
        limit = self._timeout if timeout is None else timeout
        text = json_text.dumps(payload)
        call = arguments.call(text, limit, lambda _: done.set())
        self.client.start()
        with traced_call(self.client.system, call):
            if not self.client.wait_connected(min(CONNECT_WAIT, call.timeout)):
                raise BrokerUnavailable("There is no connection to RabbitMQ.")
            self.client.submit(call)
            arguments.log("start")
            if on_slow is not None and not done.wait(SLOW):
                on_slow()
            done.wait()  # the client ends every call by its deadline
            return arguments.result(call)

    def close(self) -> None:
        """Close the connection. Calls in other threads fail."""
        self.client.close()


class AsyncEventProducer:
    """Calls services from an event loop, without blocking it.

    Made for the API. Answers that arrive together wake the loop once.
    """

    def __init__(self, client: RpcClient, timeout: float) -> None:
        self.client = client
        self._timeout = timeout
        self._loop = asyncio.get_running_loop()
        self._done: deque[Call] = deque()
        self._waiting: dict[str, asyncio.Future[None]] = {}
        self._wake_pending = False
        self._connected = asyncio.Event()
        client.on_connected = self._on_connected

    async def call(
        self,
        queue_name: str,
        payload: dict[str, Any],
        *,
        task_id: str,
        correlation_id: str,
        timeout: float | None = None,
        on_log_event: OnLogEvent | None = None,
    ) -> Reply:
        """As :meth:`EventProducer.call`, but waits for a connection only if it was lost
        a moment ago, and fails at once in a lasting outage."""
        arguments = _Arguments(queue_name, task_id, correlation_id, on_log_event)
        limit = self._timeout if timeout is None else timeout
        text = await json_aside.write(payload)
        call = arguments.call(text, limit, self._on_done)
        with traced_call(self.client.system, call):
            await self._answer(call, arguments)
            return arguments.result(call)

    async def _answer(self, call: Call, arguments: _Arguments) -> None:
        done = self._loop.create_future()
        self._waiting[call.id] = done
        try:
            if wait := min(self.client.reconnect_wait, call.timeout):
                await self._reconnected(wait)
            self.client.submit(call)
            arguments.log("start")
            await done
        except BaseException:  # refused, or nobody waits any more
            self.client.forget(call)
            raise
        finally:
            del self._waiting[call.id]

    async def _reconnected(self, seconds: float) -> None:
        self._connected.clear()
        if not self.client.connected:
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._connected.wait()

    async def close(self) -> None:
        """Close the connection; pending calls fail."""
        await asyncio.to_thread(self.client.close)

    def _on_connected(self) -> None:
        """Runs in the I/O thread."""
        self._loop.call_soon_threadsafe(self._connected.set)

    def _on_done(self, call: Call) -> None:
        """Runs in the I/O thread."""
        self._done.append(call)
        if not self._wake_pending:
            self._wake_pending = True
            self._loop.call_soon_threadsafe(self._resolve)

    def _resolve(self) -> None:
        self._wake_pending = False  # first: a later answer wakes again
        while self._done:
            done = self._waiting.get(self._done.popleft().id)
            if done is not None and not done.done():
                done.set_result(None)
