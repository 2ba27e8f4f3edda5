"""Claims of webhooks, without a database."""

from datetime import timedelta
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest

from app.core.webhook_settings import WebhookSettings
from app.repositories.webhook_repository import claim_webhooks
from app.tasks import webhooks


@pytest.mark.parametrize("is_due", [True, False])
def test_claims_come_one_after_another_and_only_if_something_is_due(
    is_due: bool,
) -> None:
    """Two at a time could exceed a bound together; most runs have nothing to do."""
    executed: list[str] = []

    class Session:
        def scalar(self, *_: Any) -> bool:
            return is_due

        def execute(self, statement: Any, _: Any) -> list[Any]:
            executed.append(str(statement))
            return []

    session: Any = Session()
    bounds = {"senders": 1, "at_once": 1, "per_host": 1, "pending": 1}
    assert claim_webhooks(session, uuid4(), timedelta(seconds=1), **bounds) == []
    assert len(executed) == 2 * is_due
    if is_due:
        lock, claim = executed
        assert "pg_advisory_xact_lock" in lock and "UPDATE webhooks" in claim


def test_a_claim_outlasts_the_last_attempt(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another run would else send the same event while this one waits."""
    leases: list[timedelta] = []

    def claim(_: Any, run: Any, lease: timedelta, **bounds: int) -> list[int]:
        leases.append(lease)
        return []

    monkeypatch.setattr(webhooks, "claim_webhooks", claim)
    settings = SimpleNamespace(webhooks=WebhookSettings(timeout_seconds=20))
    resources: Any = SimpleNamespace(engine=None, settings=settings)
    webhooks._Run(resources).claim()
    assert leases[0] > timedelta(seconds=webhooks.RUN_SECONDS + 20)


@pytest.mark.parametrize("allowed", [True, False])
async def test_a_run_asks_whether_http_is_allowed_now(
    allowed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may have been when the webhook was made."""
    given: list[bool] = []

    def new_sender(_: WebhookSettings, *, allows_http: bool) -> None:
        given.append(allows_http)
        raise LookupError("enough")

    monkeypatch.setattr(webhooks, "WebhookSender", new_sender)
    settings = SimpleNamespace(webhooks=WebhookSettings(), allows_http_webhooks=allowed)
    resources: Any = SimpleNamespace(engine=None, settings=settings)
    with pytest.raises(LookupError):
        await webhooks._Run(resources).send_all([1])
    assert given == [allowed]
