"""Hands tasks from the API to Celery.

Tasks of concurrent requests leave in one round trip: those that arrive while a batch is
being sent share the next. A lone task never waits for company.
"""

import asyncio
import json
from collections import deque
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import Context, copy_context
from dataclasses import dataclass
from typing import Any, Literal
from uuid import uuid4

from kombu import Producer
from kombu.exceptions import KombuError
from redis.exceptions import RedisError

from app.core.database import to_json
from app.core.exceptions import BrokerUnavailable
from app.core.redis_settings import CelerySettings
from app.infrastructure.celery import (
    PROCESS_DATA,
    QUEUES,
    create_publisher,
    know_task,
)
from app.infrastructure.redis.advice import advice
from chassis.outages import Outage

# A broker that hangs delays an answer by at most this many seconds.
TIMEOUT = 1.0
MAX_BATCH = 100


@dataclass(frozen=True, slots=True)
class TaskMessage:
    """One task: its id, its name in Celery, its arguments by name, and one of Celery's
    queues."""

    task_id: str
    name: str
    arguments: Mapping[str, Any]
    queue: str


def accepted_work(
    task_id: str,
    request: str,
    request_id: str,
    queue_name: str,
    priority: str,
    principal: str | None = None,
) -> TaskMessage:
    """The task that processes accepted work. ``request`` is the JSON text of payload
    and description, ``queue_name`` the queue of the service, ``priority`` one of
    Celery's, ``principal`` the caller."""
    arguments = {
        "task_id": task_id,
        "request": request,
        "request_id": request_id,
        "queue_name": queue_name,
    }
    if principal is not None:  # older workers do not know it
        arguments["principal"] = principal
    return TaskMessage(task_id, PROCESS_DATA, arguments, priority)


@dataclass(frozen=True, slots=True)
class _Waiting:
    """A task to send, with the context of its request. Telemetry needs that context; if
    publishing fails, the instrumentation's leftovers disappear with the copy."""

    message: TaskMessage
    done: asyncio.Future[None]
    context: Context


class TaskPublisher:
    """Publishes from a thread of its own. Create it inside an event loop."""

    def __init__(self, settings: CelerySettings) -> None:
        self._celery = create_publisher(settings)
        self._outage = Outage("Redis, which takes tasks")
        self._thread = ThreadPoolExecutor(
            1,
            thread_name_prefix="publish",
            # Instrumentations look for the task in the thread's current app.
            initializer=self._celery.set_current,
        )
        self._waiting: deque[_Waiting] = deque()
        self._sender: asyncio.Task[None] | None = None

    async def send(
        self,
        name: str,
        arguments: Mapping[str, Any] | None = None,
        *,
        queue: Literal["high", "default", "low"] = "default",
    ) -> str:
        """Send a task of your own to a worker; returns the id of the run.

        ``name`` is the full name of the function: ``app.tasks.report.run_report``. The
        task receives ``arguments`` by name, as JSON values.

        Raises:
            BrokerUnavailable: as ``publish``. Nothing publishes it again: if the work
                must not get lost, store a record first.
        """
        if queue not in QUEUES:  # no worker would ever take its tasks
            raise ValueError(f"{queue!r} is not one of Celery's queues {QUEUES}")
        # Encode it here: invalid arguments must fail their sender, not the batch.
        plain = json.loads(to_json(dict(arguments or {})))
        message = TaskMessage(str(uuid4()), name, plain, queue)
        await self.publish(message)
        return message.task_id

    async def publish(self, message: TaskMessage) -> None:
        """Send a task to a worker.

        Raises:
            BrokerUnavailable: Redis did not confirm it in time; it may have arrived.
        """
        done = asyncio.get_running_loop().create_future()
        self._waiting.append(_Waiting(message, done, copy_context()))
        if self._sender is None:
            self._sender = asyncio.create_task(self._send_all(), context=Context())
        try:
            async with asyncio.timeout(TIMEOUT):
                await done
        except TimeoutError as error:
            raise BrokerUnavailable("Redis did not answer in time.") from error

    def publish_batch(self, batch: Sequence[tuple[TaskMessage, Context]]) -> None:
        """Send several tasks, each in its own context. Blocks; works in any thread.

        Raises:
            BrokerUnavailable: as ``publish``, for some or all of them.
        """
        try:
            with self._celery.producer_or_acquire() as producer, producer.batch():
                for message, context in batch:
                    context.run(self._send, producer, message)
            self._outage.restored()
        except (KombuError, RedisError, OSError) as error:
            self._outage.lost(error, advice(error))
            raise BrokerUnavailable("Redis did not take the task.") from error

    def _send(self, producer: Producer, message: TaskMessage) -> None:
        know_task(self._celery, message.name)
        self._celery.send_task(
            message.name,
            kwargs=dict(message.arguments),
            task_id=message.task_id,
            queue=message.queue,
            producer=producer,
            retry=False,
            ignore_result=True,  # or each publish would subscribe to its result
        )

    async def _send_all(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            while batch := self._take():
                pairs = [(each.message, each.context) for each in batch]
                error: Exception | None = None
                try:
                    await loop.run_in_executor(self._thread, self.publish_batch, pairs)
                except Exception as failure:
                    error = failure
                for each in batch:
                    if each.done.done():  # no caller waits any more
                        continue
                    if error is None:
                        each.done.set_result(None)
                    else:
                        each.done.set_exception(error)
        finally:
            self._sender = None

    def _take(self) -> list[_Waiting]:
        batch: list[_Waiting] = []
        while self._waiting and len(batch) < MAX_BATCH:
            waiting = self._waiting.popleft()
            if not waiting.done.done():  # otherwise the sweep publishes it
                batch.append(waiting)
        return batch

    def close(self) -> None:
        """End the thread, and close the connections."""
        self._thread.shutdown(wait=False, cancel_futures=True)
        self._celery.close()
