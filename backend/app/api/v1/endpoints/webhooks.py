"""Webhooks: URLs that get your events."""

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Request, Response

from app.api.dependencies import ResourcesDep, SessionDep
from app.api.errors import responses
from app.api.openapi import headers
from app.api.security import READ_EVENTS, PrincipalDep, new_scope, requires
from app.api.v1.parameters import get_page, link_next
from app.core.ids import repeat_with
from app.models.webhooks import (
    DeliveryRead,
    Redelivery,
    WebhookChange,
    WebhookCreate,
    WebhookCreated,
    WebhookRead,
)
from app.repositories.delivery_repository import DeliveryRepository
from app.repositories.pages import Page
from app.repositories.webhook_repository import WebhookRepository
from app.services.webhook_service import WebhookService

router = APIRouter(prefix="/webhooks", tags=["webhooks"])

MANAGE = new_scope("webhooks:manage", "Manage your webhooks, with events:read.")
# Whoever manages webhooks sees what they get.
NEEDS = [requires(READ_EVENTS), requires(MANAGE)]


async def get_webhook_service(
    session: SessionDep, principal: PrincipalDep, resources: ResourcesDep
) -> WebhookService:
    """The service for this request."""
    return WebhookService(
        WebhookRepository(session, principal.sees),
        DeliveryRepository(session),
        principal,
        resources.settings.webhooks,
        allows_http=resources.settings.allows_http_webhooks,
    )


WebhookServiceDep = Annotated[WebhookService, Depends(get_webhook_service)]
WebhookId = Annotated[
    int, Path(ge=1, le=2**63 - 1, description="The `id` of a webhook.", examples=[1])
]
WebhookPageDep = Annotated[Page, Depends(get_page)]


@router.post(
    "",
    status_code=201,
    dependencies=NEEDS,
    responses=headers(201, "Location") | responses(409, 413, 415, 422, 503),
)
async def create_webhook(
    content: WebhookCreate, service: WebhookServiceDep, response: Response
) -> WebhookCreated:
    """Have your events sent to a URL. The response shows the secret, only this once.

    It gets events of changes that begin after the response; `Location` is its address.
    """
    created = WebhookCreated.model_validate(await service.create(content))
    repeat_with(created.model_copy(update={"secret": None}).model_dump_json().encode())
    response.headers["Location"] = f"/api/v1/webhooks/{created.id}"
    return created


@router.get(
    "",
    dependencies=NEEDS,
    response_model=list[WebhookRead],
    responses=headers(200, "Link") | responses(422, 503),
)
async def get_webhooks(
    service: WebhookServiceDep,
    page: WebhookPageDep,
    request: Request,
    response: Response,
) -> object:
    """Your webhooks, newest first. `Link` names the next page."""
    found = await service.get_page(page)
    link_next(request, response, found)
    return found


@router.get(
    "/{webhook_id}",
    dependencies=NEEDS,
    response_model=WebhookRead,
    responses=responses(404, 422, 503),
)
async def get_webhook(webhook_id: WebhookId, service: WebhookServiceDep) -> object:
    """One webhook."""
    return await service.find(webhook_id)


@router.patch(
    "/{webhook_id}",
    dependencies=NEEDS,
    response_model=WebhookRead,
    responses=responses(404, 413, 415, 422, 503),
)
async def change_webhook(
    webhook_id: WebhookId, content: WebhookChange, service: WebhookServiceDep
) -> object:
    """Change, pause or enable one. Enabling it sends what it has missed."""
    return await service.change(webhook_id, content)


@router.delete(
    "/{webhook_id}",
    status_code=204,
    dependencies=NEEDS,
    responses=responses(404, 422, 503),
)
async def delete_webhook(webhook_id: WebhookId, service: WebhookServiceDep) -> None:
    """Delete one, with its deliveries."""
    await service.delete(webhook_id)


@router.get(
    "/{webhook_id}/deliveries",
    dependencies=NEEDS,
    response_model=list[DeliveryRead],
    responses=headers(200, "Link") | responses(404, 422, 503),
)
async def get_deliveries(
    webhook_id: WebhookId,
    service: WebhookServiceDep,
    page: WebhookPageDep,
    request: Request,
    response: Response,
) -> object:
    """What was sent to one, newest first. `Link` names the next page."""
    found = await service.get_deliveries(webhook_id, page)
    link_next(request, response, found)
    return found


@router.post(
    "/{webhook_id}/redeliver",
    dependencies=NEEDS,
    responses=responses(404, 422, 503),
)
async def redeliver(webhook_id: WebhookId, service: WebhookServiceDep) -> Redelivery:
    """Send failed deliveries again."""
    return Redelivery(deliveries=await service.redeliver(webhook_id))
