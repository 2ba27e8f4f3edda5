"""Endpoints of the speci men service: at once, or later."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Response

from app.api.answers import processed
from app.api.dependencies import service_for
from app.api.errors import responses
from app.api.openapi import accepted, headers
from app.api.security import PROCESS, READ_RECORDS, PrincipalDep, requires
from app.api.v1.parameters import TaskId
from app.models.schemas import TaskResult, TaskState
from app.models.specimen import AsyncSpecimenRequest, SpecimenRequest, SpecimenResult
from app.services.data_service import DataService

router = APIRouter(prefix="/speci-men", tags=["speci-men"])

SpecimenDep = Annotated[DataService, Depends(service_for("specimen"))]


@router.post(
    "/process",
    dependencies=[requires(PROCESS)],
    response_model=SpecimenResult,
    responses=headers(200, "Location") | responses(413, 415, 422, 503),
)
async def process_specimen(request: SpecimenRequest, service: SpecimenDep) -> Response:
    """Process the payload and wait. `Location` names the stored record."""
    task_id, outcome = await service.process(request)
    return processed(task_id, outcome)


@router.post(
    "/process-async",
    status_code=202,
    dependencies=[requires(PROCESS)],
    responses=accepted() | responses(413, 415, 422, 503),
)
async def process_specimen_async(
    request: AsyncSpecimenRequest, service: SpecimenDep, response: Response
) -> TaskResult:
    """Accept the work; `Location` is the address of its status.

    After the 202, the work always ends in `Success` or `Failure`.
    """
    result = await service.accept(request)
    response.headers["Location"] = f"/api/v1/speci-men/process-async/{result.task_id}"
    return result


@router.get(
    "/process-async/{task_id}",
    dependencies=[requires(READ_RECORDS)],
    response_model_exclude_unset=True,
    responses=responses(404, 422, 503),
)
async def get_specimen_state(
    task_id: TaskId,
    principal: PrincipalDep,
    service: SpecimenDep,
    wait: Annotated[float, Query(ge=0, le=30, description="Seconds to wait.")] = 0,
) -> TaskState:
    """The state of accepted work: `Processing`, `Success` or `Failure`."""
    return await service.get_state(task_id, principal, wait)
