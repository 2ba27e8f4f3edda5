"""Processing data: at once by RPC, or later by a task."""

import asyncio
import logging
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any
from uuid import uuid4

from app.core.database import to_json
from app.core.exceptions import ApplicationError, BrokerUnavailable
from app.core.group_commit import GroupCommit
from app.core.request_id import current_request_id
from app.infrastructure.celery import TaskPublisher
from app.infrastructure.rabbitmq import AsyncEventProducer, LogEvent
from app.models.schemas import AsyncDataRequest, DataRequest, TaskResult, TaskStatus
from app.repositories.data_repository import DataRepository
from app.repositories.task_repository import TaskRepository

logger = logging.getLogger(__name__)

# A broker that hangs holds up an answer no longer than this, in seconds.
PUBLISH_TIMEOUT = 1.0
PUBLISHERS = 2


class DataService:
    """Work that changes data. One for the whole process; it holds no session."""

    def __init__(
        self,
        producer: AsyncEventProducer,
        publisher: TaskPublisher,
        commits: GroupCommit,
        queue_name: str,
    ) -> None:
        self._producer = producer
        self._publisher = publisher
        self._commits = commits
        self._queue_name = queue_name
        self._threads = ThreadPoolExecutor(PUBLISHERS, thread_name_prefix="publish")

    async def process(self, request: DataRequest) -> tuple[str, Any]:
        """Have the data service process the request; returns (task id, outcome).

        When this returns, the record and the log rows of the call are committed. A
        call that fails leaves its log rows, and no record.

        Raises:
            ApplicationError: as ``AsyncEventProducer.call``, or DatabaseUnavailable.
        """
        task_id = str(uuid4())
        events: list[LogEvent] = []
        try:
            reply = await self._producer.call(
                self._queue_name,
                _content(request),
                task_id=task_id,
                correlation_id=current_request_id.get(),
                on_log_event=events.append,
            )
        except ApplicationError:
            await self._log(events, request.description)
            raise
        record = DataRepository.row(
            task_id=task_id,
            payload=request.payload,
            description=request.description,
            task_status=TaskStatus.SUCCESS,
            task_type=reply.task_type,
            outcome=reply.outcome,
        )
        logs = [TaskRepository.row(e, description=request.description) for e in events]
        await self._commits.add([record, *logs])
        return task_id, reply.outcome

    async def _log(self, events: list[LogEvent], description: str | None) -> None:
        """Keep the log of a failed call; its caller is told of the failure itself."""
        if not events:
            return
        try:
            await self._commits.add(
                [TaskRepository.row(e, description=description) for e in events]
            )
        except ApplicationError as error:
            logger.warning("The log of a failed call was not stored: %s", error)

    async def accept(self, request: AsyncDataRequest) -> TaskResult:
        """Store the request as ``Processing``, then hand it to a worker.

        Once stored, it is accepted: a broker that does not answer delays it, no more.

        Raises:
            DatabaseUnavailable: nothing was stored or published.
        """
        task_id = str(uuid4())
        record = DataRepository.row(
            task_id=task_id,
            payload=request.payload,
            description=request.description,
            task_status=TaskStatus.PROCESSING,
        )
        await self._commits.add([record])
        await self._publish(task_id, request)
        return TaskResult(task_id=task_id, task_status=TaskStatus.PROCESSING)

    async def _publish(self, task_id: str, request: AsyncDataRequest) -> None:
        publish = partial(
            self._publisher.process_data,
            task_id,
            request=to_json(_content(request)),
            request_id=current_request_id.get(),
            priority=request.priority.value,
        )
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(PUBLISH_TIMEOUT):
                await loop.run_in_executor(self._threads, publish)
        except (BrokerUnavailable, TimeoutError) as error:
            logger.warning(
                "Task %s waits for the sweep to publish it: %r", task_id, error
            )

    def close(self) -> None:
        """Let the publishing thread end."""
        self._threads.shutdown(wait=False, cancel_futures=True)


def _content(request: DataRequest) -> dict[str, Any]:
    """What a service gets to see."""
    return {"payload": request.payload, "description": request.description}
