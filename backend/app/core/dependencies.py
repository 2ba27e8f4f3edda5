"""What endpoints ask for, as named types, and helpers for calls to services."""

import os
from collections.abc import Awaitable, Callable
from typing import Annotated, Any

from fastapi import Depends, Request
from sqlmodel.ext.asyncio.session import AsyncSession

from app.core.database import get_async_session
from app.core.request_id import current_request_id
from app.core.resources import Resources
from app.infrastructure.rabbitmq import EventProducer
from app.repositories.data_repository import DataRepository
from app.repositories.task_repository import TaskRepository
from app.services.data_service import DataService
from app.services.metrics_service import MetricsService
from app.services.record_service import RecordService
from app.services.task_service import TaskService

_producer: EventProducer | None = None


def set_event_producer(producer: EventProducer | None) -> None:
    """Called by each process's composition root: what ``call_service`` uses."""
    global _producer
    _producer = producer


def call_service(
    queue_name: str, payload: dict[str, Any], use_rabbitmq: bool = True
) -> Any:
    """Call the service behind ``queue_name`` and return its outcome. Blocks.

    For plain ``def`` endpoints, tasks and scripts. RabbitMQ is the only transport.

    Raises:
        ValueError: ``use_rabbitmq`` is False.
        ApplicationError: as ``EventProducer.call``.
    """
    if not use_rabbitmq:
        raise ValueError("services are called over RabbitMQ only")
    if _producer is None:
        raise RuntimeError("set_event_producer() has not been called in this process")
    request_id = current_request_id.get()
    return _producer.call(queue_name, payload, correlation_id=request_id).outcome


def get_queue_name(service: str) -> str:
    """The queue of a service: ``PRICING_QUEUE_NAME``, or ``pricing_queue``."""
    return os.getenv(f"{service.upper()}_QUEUE_NAME") or f"{service}_queue"


async def get_resources(request: Request) -> Resources:
    """The long-lived objects of this process."""
    resources: Resources = request.app.state.resources
    return resources


ResourcesDep = Annotated[Resources, Depends(get_resources)]
SessionDep = Annotated[AsyncSession, Depends(get_async_session, scope="function")]


async def get_data_service(request: Request) -> DataService:
    """The process's data service."""
    return (await get_resources(request)).data_service


def service_for(name: str) -> Callable[[Request], Awaitable[DataService]]:
    """What :func:`get_data_service` is for data, for the service of that name: it calls
    that service's queue (see :func:`get_queue_name`) and keeps records likewise."""

    async def get_service(request: Request) -> DataService:
        data_service = (await get_resources(request)).data_service
        return data_service.on_queue(get_queue_name(name))

    return get_service


async def get_task_service(resources: ResourcesDep) -> TaskService:
    """The process's view on accepted work."""
    return resources.task_service


async def get_record_service(session: SessionDep) -> RecordService:
    """A record service for this request."""
    return RecordService(DataRepository(session), TaskRepository(session))


async def get_metrics_service(resources: ResourcesDep) -> MetricsService:
    """The process's figures."""
    return resources.metrics_service


DataServiceDep = Annotated[DataService, Depends(get_data_service)]
TaskServiceDep = Annotated[TaskService, Depends(get_task_service)]
MetricsServiceDep = Annotated[MetricsService, Depends(get_metrics_service)]
RecordServiceDep = Annotated[RecordService, Depends(get_record_service)]
