"""Process data: at once, or later."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Response

from app.api.answers import processed
from app.api.dependencies import service_for
from app.api.errors import responses
from app.api.openapi import accepted, headers
from app.api.security import PROCESS, READ_RECORDS, PrincipalDep, requires
from app.api.v1.parameters import TaskId
from app.models.schemas import (
    AsyncDataRequest,
    DataRequest,
    TaskResult,
    TaskState,
)
from app.services.data_service import DataService

router = APIRouter(prefix="/data", tags=["data"])

DataServiceDep = Annotated[DataService, Depends(service_for("data"))]


@router.post(
    "/process",
    dependencies=[requires(PROCESS)],
    response_model=TaskResult,
    responses=headers(200, "Location") | responses(413, 415, 422, 503),
)
async def process_data(
    request: DataRequest,
    service: DataServiceDep,
) -> Response:
    """Send the payload to the data service, and wait for the outcome.

    The answer is sent after the record is stored; `Location` names it.
    """
    task_id, outcome = await service.process(request)
    return processed(task_id, outcome)


@router.post(
    "/process-async",
    status_code=202,
    dependencies=[requires(PROCESS)],
    responses=accepted() | responses(413, 415, 422, 503),
)
async def process_data_async(
    request: AsyncDataRequest,
    service: DataServiceDep,
    response: Response,
) -> TaskResult:
    """Accept the payload for later processing; `Location` is the address of its status.

    After the 202, the work always ends in `Success` or `Failure`.
    """
    result = await service.accept(request)
    response.headers["Location"] = f"/api/v1/data/process-async/{result.task_id}"
    return result


@router.get(
    "/process-async/{task_id}",
    dependencies=[requires(READ_RECORDS)],
    response_model_exclude_unset=True,
    responses=responses(404, 422, 503),
)
async def get_task_status(
    task_id: TaskId,
    service: DataServiceDep,
    principal: PrincipalDep,
    wait: Annotated[
        float,
        Query(ge=0, le=30, description="Seconds to wait for the end of the work."),
    ] = 0,
) -> TaskState:
    """The state of accepted work: `Processing`, `Success` or `Failure`."""
    return await service.get_state(task_id, principal, wait)
