"""The API's way to hand work to Celery.

Tasks of concurrent requests leave in one round trip: those that come while one batch
is on its way share the next. A lone task never waits for company.
"""

import asyncio
from collections import deque
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import Context
from dataclasses import dataclass, field
from typing import Any

from celery import Celery
from kombu.exceptions import KombuError
from redis.exceptions import RedisError

from app.core.config import CelerySettings
from app.core.exceptions import BrokerUnavailable
from app.infrastructure import celery_redis
from app.infrastructure.celery import HIDDEN, PROCESS_DATA

# A broker that hangs holds up an answer no longer than this, in seconds; and the
# thread that publishes, until it is to be tried again.
TIMEOUT = 1.0
SOCKET_TIMEOUT = 2.0
MAX_BATCH = 100


@dataclass(frozen=True, slots=True)
class TaskMessage:
    """One task. ``request`` is the JSON text of payload and description, ``queue_name``
    the queue of the service, ``priority`` one of Celery's queues."""

    task_id: str
    request: str
    request_id: str
    queue_name: str
    priority: str
    headers: dict[str, Any] = field(default_factory=dict)


class TaskPublisher:
    """Publishes from a thread of its own. Made within an event loop."""

    def __init__(self, settings: CelerySettings) -> None:
        # Without a result backend: with one, each publish would subscribe to the
        # result. "disabled" must be said, as Celery reads the environment.
        self._celery = Celery(
            "fastapi-starter-publisher",
            broker=settings.broker_url.get_secret_value(),
            backend="disabled",
            set_as_current=False,
        )
        celery_redis.install(self._celery)
        self._celery.conf.broker_transport_options = {
            "socket_timeout": SOCKET_TIMEOUT,
            "socket_connect_timeout": SOCKET_TIMEOUT,
            # One more attempt to connect, and at once: kombu's own would hold the
            # thread for seconds, and tasks back when Redis has long returned.
            "max_retries": 1,
            "interval_start": 0,
            "interval_step": 0,
            "interval_max": 0,
        }
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="publish")
        self._waiting: deque[tuple[TaskMessage, asyncio.Future[None]]] = deque()
        self._sender: asyncio.Task[None] | None = None

    async def publish(self, message: TaskMessage) -> None:
        """Have a worker process the record of that task.

        Raises:
            BrokerUnavailable: Redis did not take it, or did not say so in time; it
                may have arrived.
        """
        done = asyncio.get_running_loop().create_future()
        self._waiting.append((message, done))
        if self._sender is None:
            self._sender = asyncio.create_task(self._send_all(), context=Context())
        try:
            async with asyncio.timeout(TIMEOUT):
                await done
        except TimeoutError as error:
            raise BrokerUnavailable("Redis did not answer in time.") from error

    def publish_batch(self, messages: Sequence[TaskMessage]) -> None:
        """The same for several at once, from any thread; blocks.

        Raises:
            BrokerUnavailable: as ``publish``, for some of them or all.
        """
        amqp = self._celery.amqp
        try:
            with self._celery.producer_or_acquire() as producer, producer.batch():
                for message in messages:
                    arguments = {
                        "task_id": message.task_id,
                        "request": message.request,
                        "request_id": message.request_id,
                        "queue_name": message.queue_name,
                    }
                    headers, properties, body, _ = amqp.as_task_v2(
                        message.task_id, PROCESS_DATA, kwargs=arguments, **HIDDEN
                    )
                    producer.publish(
                        body,
                        exchange="",
                        routing_key=message.priority,
                        serializer="json",
                        headers={**headers, **message.headers},
                        **properties,
                    )
        except (KombuError, RedisError, OSError) as error:
            raise BrokerUnavailable("Redis did not take the task.") from error

    async def _send_all(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            while batch := self._take():
                messages = [message for message, _ in batch]
                error: Exception | None = None
                try:
                    await loop.run_in_executor(
                        self._thread, self.publish_batch, messages
                    )
                except Exception as failure:
                    error = failure
                for _, done in batch:
                    if done.done():  # nobody waits any more
                        continue
                    if error is None:
                        done.set_result(None)
                    else:
                        done.set_exception(error)
        finally:
            self._sender = None

    def _take(self) -> list[tuple[TaskMessage, asyncio.Future[None]]]:
        batch: list[tuple[TaskMessage, asyncio.Future[None]]] = []
        while self._waiting and len(batch) < MAX_BATCH:
            message, done = self._waiting.popleft()
            if not done.done():  # else it is left to the sweep
                batch.append((message, done))
        return batch

    def close(self) -> None:
        """Let the thread end, and give the connections back."""
        self._thread.shutdown(wait=False, cancel_futures=True)
        self._celery.close()
