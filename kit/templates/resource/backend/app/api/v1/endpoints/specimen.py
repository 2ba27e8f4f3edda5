"""Speci mens: create, read, replace, delete."""

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Request, Response

from app.api.dependencies import SessionDep
from app.api.errors import responses
from app.api.openapi import headers
from app.api.security import PrincipalDep, new_scope, requires
from app.api.v1.parameters import get_page, link_next
from app.models.specimen import SpecimenContent, SpecimenRead
from app.repositories.pages import Page
from app.repositories.specimen_repository import SpecimenRepository
from app.services.specimen_service import SpecimenService

router = APIRouter(prefix="/speci-mens", tags=["speci-mens"])

READ = new_scope("speci-mens:read", "Read your speci mens.")
WRITE = new_scope("speci-mens:write", "Create, replace and delete your speci mens.")


async def get_specimen_service(
    session: SessionDep, principal: PrincipalDep
) -> SpecimenService:
    """The service for this request."""
    return SpecimenService(SpecimenRepository(session, principal.sees))


SpecimenServiceDep = Annotated[SpecimenService, Depends(get_specimen_service)]
SpecimenId = Annotated[
    int, Path(ge=1, le=2**63 - 1, description="The `id` of a row.", examples=[1])
]


@router.post(
    "",
    status_code=201,
    dependencies=[requires(WRITE)],
    response_model=SpecimenRead,
    responses=headers(201, "Location") | responses(413, 415, 422, 503),
)
async def create_specimen(
    content: SpecimenContent, service: SpecimenServiceDep, response: Response
) -> object:
    """Create one. `Location` is its address."""
    created = await service.create(content)
    response.headers["Location"] = f"/api/v1/speci-mens/{created.id}"
    return created


@router.get(
    "",
    dependencies=[requires(READ)],
    response_model=list[SpecimenRead],
    responses=headers(200, "Link") | responses(422, 503),
)
async def get_specimens(
    service: SpecimenServiceDep,
    page: Annotated[Page, Depends(get_page)],
    request: Request,
    response: Response,
) -> object:
    """Read yours, newest first. `Link` names the next page."""
    found = await service.get_page(page)
    link_next(request, response, found)
    return found


@router.get(
    "/{specimen_id}",
    dependencies=[requires(READ)],
    response_model=SpecimenRead,
    responses=responses(404, 422, 503),
)
async def get_specimen(specimen_id: SpecimenId, service: SpecimenServiceDep) -> object:
    """Read one."""
    return await service.get(specimen_id)


@router.put(
    "/{specimen_id}",
    dependencies=[requires(WRITE)],
    response_model=SpecimenRead,
    responses=responses(404, 413, 415, 422, 503),
)
async def replace_specimen(
    specimen_id: SpecimenId, content: SpecimenContent, service: SpecimenServiceDep
) -> object:
    """Replace the content of one."""
    return await service.replace(specimen_id, content)


@router.delete(
    "/{specimen_id}",
    status_code=204,
    dependencies=[requires(WRITE)],
    responses=responses(404, 422, 503),
)
async def delete_specimen(specimen_id: SpecimenId, service: SpecimenServiceDep) -> None:
    """Delete one."""
    await service.delete(specimen_id)
