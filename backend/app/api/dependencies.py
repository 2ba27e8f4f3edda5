"""Endpoint dependencies, as named types."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Annotated

from fastapi import Depends, Request
from sqlmodel.ext.asyncio.session import AsyncSession
from starlette.requests import HTTPConnection

from app.api.security import PrincipalDep
from app.core.budget import Budget
from app.core.config import Settings
from app.core.database import Database, get_async_session
from app.core.health import HealthChecks
from app.core.keys import Keys
from app.core.rate_limits import RateLimits
from app.infrastructure.http import HttpClient, HttpConnections
from app.infrastructure.rabbitmq import EventProducer
from app.infrastructure.task_publisher import TaskPublisher
from app.repositories.data_repository import DataRepository
from app.repositories.task_repository import TaskRepository
from app.services.data_service import DataService
from app.services.event_service import EventService
from app.services.metrics_service import MetricsService
from app.services.record_service import RecordService

if TYPE_CHECKING:  # `open_identity` says why
    from app.infrastructure.identity.tokens import TokenVerifier


@dataclass(frozen=True)
class Resources:
    """The long-lived objects of an API process; ``app.resources`` makes them.

    ``data_services`` maps each service's name to its ``DataService``; ``identity`` is
    None while authentication is off, ``rate_limits`` while there are none.
    """

    settings: Settings
    database: Database
    producer: EventProducer
    data_services: Mapping[str, DataService]
    events: EventService
    metrics_service: MetricsService
    health: HealthChecks
    keys: Keys
    http: HttpConnections
    publisher: TaskPublisher
    identity: "TokenVerifier | None"
    rate_limits: RateLimits | None


async def get_resources(connection: HTTPConnection) -> Resources:
    """The long-lived objects of this process."""
    resources: Resources = connection.app.state.resources
    return resources


ResourcesDep = Annotated[Resources, Depends(get_resources)]
SessionDep = Annotated[AsyncSession, Depends(get_async_session, scope="function")]


@cache
def service_for(name: str) -> Callable[[Request], Awaitable[DataService]]:
    """The ``DataService`` of the service with that name, registered in
    ``app.core.services``: ``PricingDep = Annotated[DataService,
    Depends(service_for("pricing"))]``."""

    async def get_service(request: Request) -> DataService:
        return (await get_resources(request)).data_services[name]

    return get_service


async def take_turn(request: Request) -> AsyncIterator[None]:
    """Wait for a turn to read large rows, and keep it until the answer is built."""
    budget: Budget = request.app.state.budget
    async with budget.reading():
        yield


TURN = Depends(take_turn, scope="function")


async def get_record_service(
    session: SessionDep, principal: PrincipalDep
) -> RecordService:
    """A record service for this request."""
    return RecordService(DataRepository(session), TaskRepository(session), principal)


async def get_event_service(resources: ResourcesDep) -> EventService:
    """The event log of this process."""
    return resources.events


async def get_metrics_service(resources: ResourcesDep) -> MetricsService:
    """The metrics of this process."""
    return resources.metrics_service


async def get_http_client(resources: ResourcesDep) -> HttpClient:
    """The client for requests to other servers."""
    return await resources.http.get()


async def get_task_publisher(resources: ResourcesDep) -> TaskPublisher:
    """Publishes tasks for the worker."""
    return resources.publisher


EventServiceDep = Annotated[EventService, Depends(get_event_service)]
HttpClientDep = Annotated[HttpClient, Depends(get_http_client)]
MetricsServiceDep = Annotated[MetricsService, Depends(get_metrics_service)]
RecordServiceDep = Annotated[RecordService, Depends(get_record_service)]
TaskPublisherDep = Annotated[TaskPublisher, Depends(get_task_publisher)]
