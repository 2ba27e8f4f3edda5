"""What an owner changes in a webhook, with rows in this process."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from app.core.exceptions import WebhookUrlRefused
from app.core.principal import EVERYBODY
from app.core.webhook_settings import WebhookSettings
from app.models.webhooks import Webhook, WebhookChange
from app.services.webhook_service import WebhookService, new_secret

NOW = datetime(2026, 1, 1, tzinfo=UTC)
EARLIER = NOW - timedelta(days=1)


class Tables:
    """Has one webhook, and notes whose deliveries are resumed."""

    def __init__(self) -> None:
        self.resumed: list[int] = []
        self.webhook = Webhook(
            id=7,
            url="https://old.example/",
            host="old.example",
            types=["a.b"],
            secret=new_secret(),
            position=0,
            disabled_at=EARLIER,
            disabled_reason="Every attempt failed for 24 hours.",
            failing_since=EARLIER,
            failures=9,
            resume_at=NOW + timedelta(hours=1),
        )

    async def find(self, _: int, *, lock: bool = False) -> Webhook:
        return self.webhook

    async def save(self, webhook: Webhook) -> Webhook:
        return webhook

    async def now(self) -> datetime:
        return NOW

    async def resume(self, webhook_id: int) -> None:
        self.resumed.append(webhook_id)


async def change(tables: Tables, **content: Any) -> Webhook:
    own: Any = tables
    service = WebhookService(own, own, EVERYBODY, WebhookSettings(), allows_http=False)
    return await service.change(7, WebhookChange(**content))


async def test_a_new_url_has_its_own_host() -> None:
    """Claims of one host are bounded, and the log names it."""
    tables = Tables()
    found = await change(tables, url="https://New.example/hook")
    assert (found.url, found.host) == ("https://New.example/hook", "new.example")
    with pytest.raises(WebhookUrlRefused):
        await change(tables, url="https://10.0.0.1/")
    assert tables.webhook.host == "new.example"
    assert not tables.resumed


async def test_enabling_begins_at_once_and_anew() -> None:
    tables = Tables()
    found = await change(tables, enabled=True)
    assert found.disabled_at is None and found.disabled_reason is None
    assert (found.failures, found.failing_since, found.resume_at) == (0, None, NOW)
    assert tables.resumed == [7]


async def test_what_is_disabled_keeps_its_reason() -> None:
    tables = Tables()
    reason = tables.webhook.disabled_reason
    found = await change(tables, enabled=False, types=["c.d"])
    assert (found.disabled_at, found.disabled_reason) == (EARLIER, reason)
    assert found.types == ["c.d"] and not tables.resumed


async def test_the_last_two_secrets_sign() -> None:
    """Receivers that have the newest but one must not be left out."""
    tables = Tables()
    first, second, third = (tables.webhook.secret, new_secret(), new_secret())
    for old, new in ((first, second), (second, third)):
        found = await change(tables, secret=new)
        assert (found.previous_secret, found.secret) == (old, new)
        assert found.previous_secret_until == NOW + timedelta(hours=24)
