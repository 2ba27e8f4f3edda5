"""What an operator sees of an attempt to deliver an event."""

import logging
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest

from app.infrastructure.webhook_sender import Attempt
from app.models.webhooks import Webhook, WebhookDelivery
from app.tasks import webhooks

NOW = datetime(2026, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)


def test_attempts_and_webhooks_are_counted_once_and_no_url_is_told(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Clients choose hosts: as an attribute they would make any number of series."""
    target = Webhook(url="https://h/secret", host="h", types=[], secret="", position=0)
    sent = WebhookDelivery(
        webhook_id=1, sequence=1, event_id=uuid4(), type="a.b", next_attempt_at=NOW
    )
    counted: list[Any] = []
    counter = SimpleNamespace(add=lambda *figures: counted.append(figures))
    monkeypatch.setattr(webhooks, "_attempts", counter)
    monkeypatch.setattr(webhooks, "_disabled", counter)
    monkeypatch.setattr(webhooks, "lock_delivery", lambda *_: (target, sent, NOW))
    caplog.set_level(logging.INFO)
    due: Any = SimpleNamespace(delivery=sent)
    session: Any = None
    retried = (1, {"app.webhooks.outcome": "retried"})
    for status, expected in (
        (500, [retried]),
        (410, [retried, (1,)]),  # it wants no more events
        (410, [retried]),
        (200, [(1, {"app.webhooks.outcome": "delivered"})]),
    ):
        error = None if status == 200 else "no"
        webhooks._note(session, due, Attempt(status, error), DAY)
        assert counted == expected
        counted.clear()
    assert len(caplog.records) == 4 and "secret" not in caplog.text
