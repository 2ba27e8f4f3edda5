"""Have data processed: at once, or later."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Response

from app.api.dependencies import service_for
from app.api.errors import responses
from app.api.openapi import accepted, headers
from app.api.v1.parameters import TaskId
from app.models.schemas import (
    AsyncDataRequest,
    DataRequest,
    TaskResult,
    TaskState,
    TaskStatus,
)
from app.services.data_service import DataService

router = APIRouter(prefix="/data", tags=["data"])

DataServiceDep = Annotated[DataService, Depends(service_for("data"))]


@router.post(
    "/process",
    responses=headers(200, "Location") | responses(413, 415, 422, 503),
)
async def process_data(
    request: DataRequest,
    service: DataServiceDep,
    response: Response,
) -> TaskResult:
    """Have the data service process the payload, and wait for the outcome.

    The answer is sent once the record is stored; `Location` names it.
    """
    task_id, outcome = await service.process(request)
    response.headers["Location"] = f"/api/v1/database/records/{task_id}"
    return TaskResult(task_id="-", task_status=TaskStatus.SUCCESS, outcome=outcome)


@router.post(
    "/process-async",
    status_code=202,
    responses=accepted() | responses(413, 415, 422, 503),
)
async def process_data_async(
    request: AsyncDataRequest,
    service: DataServiceDep,
    response: Response,
) -> TaskResult:
    """Accept the payload for processing; `Location` is where to ask for the outcome.

    Once this has answered 202, the work ends in `Success` or `Failure`.
    """
    result = await service.accept(request)
    response.headers["Location"] = f"/api/v1/data/process-async/{result.task_id}"
    return result


@router.get(
    "/process-async/{task_id}",
    response_model_exclude_unset=True,
    responses=responses(404, 422, 503),
)
async def get_task_status(
    task_id: TaskId,
    service: DataServiceDep,
    wait: Annotated[
        float,
        Query(ge=0, le=30, description="Seconds to wait for the end, if need be."),
    ] = 0,
) -> TaskState:
    """The state of accepted work: `Processing`, `Success` or `Failure`."""
    return await service.get_state(task_id, wait)
