"""Stored records and the logs of calls."""

from collections.abc import Iterable
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import TypeAdapter

from app.api.dependencies import TURN, RecordServiceDep
from app.api.errors import responses
from app.api.openapi import headers
from app.api.security import DELETE_RECORDS, READ_RECORDS, requires
from app.api.v1.parameters import (
    EQUAL,
    IdQuery,
    NameQuery,
    TaskId,
    TaskIdQuery,
    get_page,
    link_next,
)
from app.models.schemas import Log, Record, TaskStatus
from app.repositories.data_repository import StoredRecord
from app.repositories.pages import Page

router = APIRouter(prefix="/database", tags=["database"], dependencies=[TURN])

PageDep = Annotated[Page, Depends(get_page)]

_any: TypeAdapter[Any] = TypeAdapter(Any)

# Columns whose values are already JSON text.
AS_STORED = ("payload", "outcome")


def records_as_json(rows: Iterable[StoredRecord]) -> Response:
    """The JSON that ``list[Record]`` would produce."""
    texts = []
    for row in rows:
        fields = (
            f'"{name}":'
            + (
                (value or "null")
                if name in AS_STORED
                else _any.dump_json(value).decode()
            )
            for name, value in vars(row).items()
        )
        texts.append("{" + ",".join(fields) + "}")
    return Response("[" + ",".join(texts) + "]", media_type="application/json")


@router.get(
    "/records",
    dependencies=[requires(READ_RECORDS)],
    response_model=list[Record],
    responses=headers(200, "Link") | responses(422, 503),
)
async def get_records(
    service: RecordServiceDep,
    page: PageDep,
    request: Request,
    task_status: Annotated[TaskStatus | None, Query(description=EQUAL)] = None,
    task_type: NameQuery = None,
    queue_name: NameQuery = None,
) -> Response:
    """Records, newest first. `Link` names the next page."""
    records = await service.get_processing_records(
        page, task_status=task_status, task_type=task_type, queue_name=queue_name
    )
    answer = records_as_json(records)
    link_next(request, answer, records)
    return answer


@router.get(
    "/records/{task_id}",
    dependencies=[requires(READ_RECORDS)],
    response_model=Record,
    responses=responses(404, 422, 503),
)
async def get_record(task_id: TaskId, service: RecordServiceDep) -> object:
    """One record."""
    return await service.get_record(task_id)


@router.delete(
    "/records/{task_id}",
    status_code=204,
    dependencies=[requires(DELETE_RECORDS)],
    responses=responses(404, 422, 503),
)
async def delete_record(task_id: TaskId, service: RecordServiceDep) -> None:
    """Delete one record. Its log rows stay."""
    await service.delete_record(task_id)


@router.get(
    "/logs",
    dependencies=[requires(READ_RECORDS)],
    response_model=list[Log],
    responses=headers(200, "Link") | responses(422, 503),
)
async def get_logs(
    service: RecordServiceDep,
    page: PageDep,
    request: Request,
    response: Response,
    task_id: TaskIdQuery = None,
    correlation_id: IdQuery = None,
    queue_name: NameQuery = None,
    service_name: NameQuery = None,
    status: NameQuery = None,
) -> object:
    """Log rows of calls, newest first. `Link` names the next page."""
    logs = await service.get_task_logs(
        page,
        task_id=task_id,
        correlation_id=correlation_id,
        queue_name=queue_name,
        service_name=service_name,
        status=status,
    )
    link_next(request, response, logs)
    return logs
