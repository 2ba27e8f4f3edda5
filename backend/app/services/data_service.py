"""The work of services: at once by RPC, or later by a task."""

import logging
from contextlib import suppress
from typing import Any

from app.core.database import Database, to_json
from app.core.exceptions import (
    AlreadyStored,
    ApplicationError,
    BrokerUnavailable,
    Refused,
)
from app.core.ids import new_task_id
from app.core.principal import Principal
from app.core.services import Service
from app.infrastructure.postgres.group_commit import GroupCommit
from app.infrastructure.rabbitmq import AsyncEventProducer, LogEvent
from app.infrastructure.task_publisher import TaskPublisher, accepted_work
from app.models.schemas import (
    AsyncDataRequest,
    DataRequest,
    Priority,
    TaskResult,
    TaskState,
    TaskStatus,
)
from app.repositories.data_repository import DataRepository
from app.repositories.task_repository import TaskRepository
from app.services.task_service import TaskService
from chassis import json_aside
from chassis.context import current_principal, current_request_id
from chassis.telemetry import tracing

logger = logging.getLogger(__name__)


class DataService:
    """The work of one service, with one instance per service and process."""

    def __init__(
        self,
        service: Service,
        *,
        producer: AsyncEventProducer,
        publisher: TaskPublisher,
        database: Database,
        commits: GroupCommit,
        tasks: TaskService,
    ) -> None:
        self._service = service
        self._producer = producer
        self._publisher = publisher
        self._database = database
        self._commits = commits
        self._tasks = tasks

    async def process(self, request: DataRequest) -> tuple[str, Any]:
        """Send the request to the service and wait; returns (task id, outcome).

        When this returns, the record and the log rows of the call are committed. A
        failed call leaves log rows but no record. If a record with that id already
        exists (see ``app.core.ids``), its outcome is the answer.

        Raises:
            ApplicationError: as ``AsyncEventProducer.call``; DatabaseUnavailable; or
                Refused, if the payload contains a number that is not finite.
        """
        task_id, content = new_task_id(), _content(request)
        events: list[LogEvent] = []
        try:
            reply = await self._producer.call(
                self._service.queue,
                content,
                task_id=task_id,
                correlation_id=current_request_id.get(),
                on_log_event=events.append,
            )
        except ApplicationError:
            await self._log(events, request.description)
            raise
        record = DataRepository.row(
            task_id=task_id,
            task_status=TaskStatus.SUCCESS,
            queue_name=self._service.queue,
            owner=current_principal.get(),
            correlation_id=current_request_id.get(),
            traceparent=tracing.traceparent(),
            **content,
            task_type=reply.task_type,
            outcome=reply.outcome,
        )
        logs = [TaskRepository.row(e, description=request.description) for e in events]
        try:
            await self._commits.add([record, *logs])
        except AlreadyStored:
            await self._log(events, request.description)
            return task_id, await self._stored_outcome(task_id, reply.outcome)
        return task_id, reply.outcome

    async def _stored_outcome(self, task_id: str, otherwise: Any) -> Any:
        async with self._database.session() as session:
            record = await DataRepository(session).get_by_task_id(task_id)
        return otherwise if record is None else record.outcome  # None: just deleted

    async def _log(self, events: list[LogEvent], description: str | None) -> None:
        """Store the log of a call that has no record, if possible."""
        if not events:
            return
        try:
            await self._commits.add(
                [TaskRepository.row(e, description=description) for e in events]
            )
        except ApplicationError as error:
            logger.info("The log of a call was not stored: %s", error)

    async def accept(self, request: AsyncDataRequest) -> TaskResult:
        """Store the request as ``Processing``, then hand it to a worker.

        Once stored, it is accepted: a broker that does not answer only delays it.
        Accepting it again under the same id publishes it again, which is harmless.

        Raises:
            DatabaseUnavailable, Refused: nothing was stored or published.
        """
        task_id, content = new_task_id(), _content(request)
        record = DataRepository.row(
            task_id=task_id,
            task_status=TaskStatus.PROCESSING,
            queue_name=self._service.queue,
            owner=current_principal.get(),
            correlation_id=current_request_id.get(),
            **content,
            priority=request.priority.value,
            traceparent=tracing.traceparent(),
        )
        with suppress(AlreadyStored):
            await self._commits.add([record])
        await self._publish(task_id, content, request.priority)
        return TaskResult(task_id=task_id, task_status=TaskStatus.PROCESSING)

    async def _publish(
        self, task_id: str, content: dict[str, Any], priority: Priority
    ) -> None:
        message = accepted_work(
            task_id,
            request=await json_aside.write(content),
            request_id=current_request_id.get(),
            queue_name=self._service.queue,
            priority=priority.value,
            principal=current_principal.get(),
        )
        try:
            await self._publisher.publish(message)
        except BrokerUnavailable as error:
            logger.info("Task %s waits for the sweep to publish it: %r", task_id, error)

    async def get_state(
        self, task_id: str, principal: Principal, wait: float = 0
    ) -> TaskState:
        """As ``TaskService.get_state``, for work of this service."""
        return await self._tasks.get_state(task_id, self._service, principal, wait)


def _content(request: DataRequest) -> dict[str, Any]:
    """The request as plain values, for the service and for the record, whatever models,
    dates or numbers it contains. Raises Refused."""
    if type(request).model_fields["payload"].annotation is Any:
        # Passed on as parsed: copying a large payload would block the event loop.
        return {"payload": request.payload, "description": request.description}
    content = request.model_dump(mode="json", include={"payload", "description"})
    # Pydantic accepts the texts "nan" and "inf" as numbers; JSON has no such values.
    try:
        to_json(content)
    except ValueError as error:
        raise Refused(f"The payload cannot be written as JSON: {error}.") from error
    return content
