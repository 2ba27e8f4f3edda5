"""Webhooks: who may have which, and what their owners may change."""

from base64 import b64encode
from secrets import token_bytes

from app.core.exceptions import NotFound, TooManyWebhooks, WebhookUrlRefused
from app.core.principal import Principal
from app.core.webhook_settings import WebhookSettings
from app.core.webhook_targets import TargetRefused, check_url
from app.models.webhooks import (
    Webhook,
    WebhookChange,
    WebhookCreate,
    WebhookDelivery,
)
from app.repositories.delivery_repository import DeliveryRepository
from app.repositories.pages import Page, Rows
from app.repositories.webhook_repository import WebhookRepository
from app.services.webhook_rules import ROTATION, disable_webhook

SECRET_BYTES = 32


class WebhookService:
    """One instance per request, over its session. The edge commits."""

    def __init__(
        self,
        webhooks: WebhookRepository,
        deliveries: DeliveryRepository,
        principal: Principal,
        settings: WebhookSettings,
        *,
        allows_http: bool,
    ) -> None:
        self._webhooks = webhooks
        self._deliveries = deliveries
        self._principal = principal
        self._settings = settings
        self._allows_http = allows_http

    async def create(self, content: WebhookCreate) -> Webhook:
        """It gets events of changes that begin from now on.

        Raises:
            WebhookUrlRefused: webhooks must not go to that URL.
            TooManyWebhooks: the caller has as many as allowed.
        """
        host = self._host_of(content.url)
        owner, most = self._principal.subject, self._settings.max_per_owner
        if await self._webhooks.count_of(owner) >= most:
            raise TooManyWebhooks(f"One owner may have {most} webhooks: delete one.")
        secret = content.secret
        return await self._webhooks.save(
            Webhook(
                owner=owner,
                events_of=self._principal.sees,
                url=content.url,
                host=host,
                types=content.types,
                secret=secret.get_secret_value() if secret else new_secret(),
                position=await self._webhooks.first_position(),
            )
        )

    async def find(self, webhook_id: int, *, lock: bool = False) -> Webhook:
        """The one with that id; ``lock`` it to change it. Raises NotFound if there is
        none."""
        found = await self._webhooks.find(webhook_id, lock=lock)
        if found is None:
            raise _not_found(webhook_id)
        return found

    async def get_page(self, page: Page) -> Rows[Webhook]:
        """Newest first."""
        return await self._webhooks.get_page(page)

    async def change(self, webhook_id: int, content: WebhookChange) -> Webhook:
        """Change what is given; raises as :meth:`find` and :meth:`create`."""
        webhook = await self.find(webhook_id, lock=True)
        now = await self._webhooks.now()
        if content.url is not None:
            webhook.host, webhook.url = self._host_of(content.url), content.url
        if content.types is not None:
            webhook.types = content.types
        if content.secret is not None:
            webhook.previous_secret = webhook.secret
            webhook.previous_secret_until = now + ROTATION
            webhook.secret = content.secret.get_secret_value()
        if content.enabled is False and webhook.disabled_at is None:
            disable_webhook(webhook, now, "Its owner has disabled it.")
        if content.enabled:
            webhook.disabled_at = webhook.disabled_reason = None
            webhook.failures, webhook.failing_since = 0, None
            webhook.resume_at = now
            await self._deliveries.resume(webhook_id)
        return await self._webhooks.save(webhook)

    async def delete(self, webhook_id: int) -> None:
        """Delete it with its deliveries; raises NotFound if there is none."""
        if not await self._webhooks.delete(webhook_id):
            raise _not_found(webhook_id)

    async def get_deliveries(
        self, webhook_id: int, page: Page
    ) -> Rows[WebhookDelivery]:
        """Newest first; raises NotFound if there is no such webhook."""
        await self.find(webhook_id)
        return await self._deliveries.get_page(page, webhook_id)

    async def redeliver(self, webhook_id: int) -> int:
        """Send failed deliveries again; returns how many. Raises NotFound if there is
        no such webhook."""
        await self.find(webhook_id)
        return await self._deliveries.redeliver(webhook_id)

    def _host_of(self, url: str) -> str:
        try:
            return check_url(url, self._allows_http, self._settings.networks)
        except TargetRefused as error:
            raise WebhookUrlRefused(str(error)) from error


def new_secret() -> str:
    """A random secret, as Standard Webhooks writes it."""
    return "whsec_" + b64encode(token_bytes(SECRET_BYTES)).decode("ascii")


def _not_found(webhook_id: int) -> NotFound:
    return NotFound(f"No webhook has the id {webhook_id}.")
