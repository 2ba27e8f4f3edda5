"""A service for tests of the kit itself; no deployment has it."""

from functools import cached_property
from typing import Annotated

from fastapi import APIRouter, Depends, FastAPI, Query, Response

from app.api import security, v1
from app.api.answers import processed
from app.api.dependencies import service_for
from app.api.errors import responses
from app.api.openapi import accepted, headers
from app.api.security import READ_RECORDS, PrincipalDep, requires
from app.api.v1.parameters import TaskId
from app.application import create_app
from app.core.config import Settings
from app.core.services import Service, ServiceRegistry
from app.models.schemas import (
    AsyncDataRequest,
    DataRequest,
    TaskResult,
    TaskState,
)
from app.services.data_service import DataService

PREFIX = f"{v1.PREFIX}/echo"
PROCESS = f"{PREFIX}/process"


class EchoSettings(Settings):
    """Settings of a deployment with this service only."""

    echo_queue: str = "echo_queue"

    @cached_property
    def services(self) -> ServiceRegistry:
        """The only service."""
        return ServiceRegistry((Service("echo", self.echo_queue),))


get_echo_service = service_for("echo")
EchoDep = Annotated[DataService, Depends(get_echo_service)]

router = APIRouter(prefix="/echo", tags=["database"])


@router.post(
    "/process",
    dependencies=[requires(security.PROCESS)],
    response_model=TaskResult,
    responses=headers(200, "Location") | responses(413, 415, 422, 503),
)
async def process_echo(request: DataRequest, service: EchoDep) -> Response:
    """Answer at once."""
    task_id, outcome = await service.process(request)
    return processed(task_id, outcome)


@router.post(
    "/process-async",
    status_code=202,
    dependencies=[requires(security.PROCESS)],
    responses=accepted() | responses(413, 415, 422, 503),
)
async def process_echo_async(
    request: AsyncDataRequest, service: EchoDep, response: Response
) -> TaskResult:
    """Accept, and answer later."""
    result = await service.accept(request)
    response.headers["Location"] = f"{PROCESS}-async/{result.task_id}"
    return result


@router.get(
    "/process-async/{task_id}",
    dependencies=[requires(READ_RECORDS)],
    response_model_exclude_unset=True,
    responses=responses(404, 422, 503),
)
async def get_echo_state(
    task_id: TaskId,
    principal: PrincipalDep,
    service: EchoDep,
    wait: Annotated[float, Query(ge=0, le=30, description="Seconds.")] = 0,
) -> TaskState:
    """The state of the work."""
    return await service.get_state(task_id, principal, wait)


def create_echo_app(settings: Settings | None = None) -> FastAPI:
    """The API with the endpoints of this service."""
    app = create_app(settings or EchoSettings())
    app.include_router(router, prefix=v1.PREFIX)
    return app
