"""The rules of deliveries, without servers."""

import base64
import hashlib
import hmac
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from pydantic import ValidationError

from app.core.config import Settings
from app.core.webhook_settings import WebhookSettings
from app.infrastructure.webhook_sender import Attempt
from app.models.webhooks import (
    MAX_TYPES,
    Webhook,
    WebhookChange,
    WebhookCreate,
    WebhookDelivery,
)
from app.repositories.event_repository import StoredEvent
from app.services import webhook_rules
from app.services.webhook_rules import (
    apply_attempt,
    body_of,
    delivery_delay,
    headers_of,
    matches_type,
)
from app.services.webhook_service import new_secret

NOW = datetime(2026, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)
URL = "https://example.com/"


def webhook() -> Webhook:
    return Webhook(
        url=URL,
        host="example.com",
        types=["a.b"],
        secret=new_secret(),
        position=0,
        resume_at=NOW,
    )


def delivery() -> WebhookDelivery:
    return WebhookDelivery(
        webhook_id=1, sequence=1, event_id=uuid4(), type="a.b", next_attempt_at=NOW
    )


@pytest.mark.parametrize(
    ("pattern", "event_type", "expected"),
    [
        ("record.deleted", "record.deleted", True),
        ("record.deleted", "record.deleted.twice", False),
        ("record.*", "record.failed", True),
        ("record.*", "record.very.failed", False),
        ("record.*", "recordings.failed", False),
        ("*.created", "order.created", True),
        ("*.*", "order.created", True),
        ("*.*", "order.line.created", False),
        ("a.b", "a_b", False),
    ],
)
def test_patterns(pattern: str, event_type: str, expected: bool) -> None:
    assert matches_type(["x.y", pattern], event_type) is expected


@pytest.mark.parametrize(
    "types",
    [
        [],
        ["record"],
        ["#"],
        ["record.#"],
        ["record.d*"],
        ["Record.deleted"],
        ["record.deleted "],
        ["record..deleted"],
        ["a." + "b" * 63],
    ],
)
def test_types_have_a_form(types: list[str]) -> None:
    with pytest.raises(ValidationError):
        WebhookCreate(url=URL, types=types)


@pytest.mark.budget("webhooks.MAX_TYPES")
def test_types_are_few_and_different() -> None:
    most = [f"a.t{number}" for number in range(MAX_TYPES)]
    assert WebhookCreate(url=URL, types=most).types == most
    with pytest.raises(ValidationError):
        WebhookCreate(url=URL, types=[*most, "a.more"])
    assert WebhookCreate(url=URL, types=["a.b", "a.b"]).types == ["a.b"]


@pytest.mark.parametrize("size", [23, 24, 64, 65])
def test_secrets_have_enough_bytes(size: int) -> None:
    secret = "whsec_" + base64.b64encode(bytes(size)).decode()
    given = {"secret": secret}
    if 24 <= size <= 64:
        assert WebhookChange.model_validate(given).secret
        return
    with pytest.raises(ValidationError, match="24 to 64") as raised:
        WebhookChange.model_validate(given)
    assert secret not in repr(raised.value.errors(include_input=False))


@pytest.mark.parametrize(
    "secret",
    [
        *("", "whsec_", "MfKQ9r8G" * 4, "whsec_" + "-" * 32),
        *("whsec_" + "MfKQ9r8G" * 4 + "-_", "whsec_" + "MfKQ 9r8G" * 4),
    ],
)
def test_secrets_have_a_form(secret: str) -> None:
    with pytest.raises(ValidationError):
        WebhookChange.model_validate({"secret": secret})


@pytest.mark.promise(
    "docs/WEBHOOKS.md",
    "The next attempt follows after 5 s, then 10 s, 20 s and so on, up to one hour",
)
@pytest.mark.parametrize(
    ("attempts", "asked", "seconds"),
    [
        (1, None, 5),
        (2, None, 10),
        (5, None, 80),
        (11, None, 3600),
        (1000, None, 3600),
        (1, 60.0, 60),
        (1, -5.0, 5),
        (5, 1.0, 80),
        (1, 1e9, 3600),
    ],
)
def test_delays(attempts: int, asked: float | None, seconds: float) -> None:
    found = {delivery_delay(attempts, asked).total_seconds() for _ in range(20)}
    assert seconds <= min(found) < max(found) <= seconds * 1.2


def test_a_delivery() -> None:
    target, sent = webhook(), delivery()
    apply_attempt(Attempt(500, "no"), target, sent, NOW, DAY)
    assert (sent.attempts, sent.status, sent.last_status) == (1, "pending", 500)
    assert target.failing_since == NOW and target.resume_at == NOW
    assert sent.next_attempt_at and sent.next_attempt_at > NOW


def test_a_delivery_that_succeeds() -> None:
    target, sent = webhook(), delivery()
    target.failing_since, target.failures, sent.attempts = NOW, 3, 1
    apply_attempt(Attempt(200), target, sent, NOW, DAY)
    assert (sent.attempts, sent.status, sent.last_error) == (2, "delivered", None)
    assert not (target.failing_since or sent.next_attempt_at or target.failures)


@pytest.mark.promise(
    "docs/WEBHOOKS.md", "All events of the webhook wait, and keep their order."
)
@pytest.mark.parametrize("status", [None, 429, 502, 503, 504])
def test_a_receiver_that_is_away_pauses_the_webhook(status: int | None) -> None:
    target, sent = webhook(), delivery()
    attempt = Attempt(status, "away", 100.0)
    apply_attempt(attempt, target, sent, NOW, DAY)
    assert webhook_rules.is_away(attempt)
    assert target.resume_at and target.resume_at >= NOW + timedelta(seconds=100)
    # The first event stays the first.
    assert sent.next_attempt_at == target.resume_at


@pytest.mark.parametrize("status", [301, 400, 404, 500])
def test_other_failures_are_about_one_event(status: int) -> None:
    assert not webhook_rules.is_away(Attempt(status, "no"))


def test_a_delivery_fails_when_others_succeed() -> None:
    target, sent = webhook(), delivery()
    sent.first_attempt_at = NOW - DAY
    apply_attempt(Attempt(500, "no"), target, sent, NOW, DAY)
    assert (sent.status, sent.next_attempt_at) == ("failed", None)
    assert target.disabled_at is None


def test_a_webhook_is_disabled_when_all_fail() -> None:
    target, sent = webhook(), delivery()
    target.failing_since = sent.first_attempt_at = NOW - DAY
    apply_attempt(Attempt(500, "no"), target, sent, NOW, DAY)
    assert target.disabled_at == NOW and sent.status == "pending"


@pytest.mark.promise(
    "docs/WEBHOOKS.md",
    "signed as [Standard Webhooks](https://www.standardwebhooks.com) wants",
)
def test_a_signature_by_the_specification() -> None:
    """With an implementation that is not the library's."""
    target = webhook()
    found = headers_of(target, "msg_1", '{"ü":1}', NOW)
    key = base64.b64decode(target.secret.removeprefix("whsec_"))
    signed = f'msg_1.{found["webhook-timestamp"]}.{{"ü":1}}'.encode()
    digest = base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()
    assert found["webhook-signature"] == f"v1,{digest}"
    assert int(found["webhook-timestamp"]) == NOW.timestamp()


@pytest.mark.parametrize(("seconds", "signatures"), [(-1, 2), (0, 1)])
def test_an_old_secret_signs_until_its_time(seconds: int, signatures: int) -> None:
    target = webhook()
    target.previous_secret, target.previous_secret_until = new_secret(), NOW
    found = headers_of(target, "msg_1", "{}", NOW + timedelta(seconds=seconds))
    assert len(found["webhook-signature"].split()) == signatures


def test_the_length_of_an_event_is_in_bytes() -> None:
    event = StoredEvent(
        *(7, uuid4(), "a.b", "s", None, None, None, None, NOW),
        data='"üüüü"',
    )
    whole = event.to_json("/here")
    size = len(whole.encode())
    assert body_of(event, "/here", size) == whole
    assert "dataref" in body_of(event, "/here", size - 1)


def test_settings() -> None:
    with pytest.raises(ValidationError, match="10.1.0.0/16"):
        WebhookSettings(allowed_networks="10.0.0.1/8")
    for allow, environment, expected in (
        (None, "development", True),
        (None, "test", False),
        (True, "test", True),
        (False, "development", False),
    ):
        own = WebhookSettings(allow_http=allow)
        found = Settings.model_validate({"environment": environment, "webhooks": own})
        assert found.allows_http_webhooks is expected
