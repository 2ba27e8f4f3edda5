"""The rules of deliveries: which events match, what is sent, what follows an attempt.

Requests are signed by Standard Webhooks: https://www.standardwebhooks.com.
"""

import json
import random
import re
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta

from standardwebhooks import Webhook as Signer

from app import __title__
from app.infrastructure.webhook_sender import Attempt
from app.models.webhooks import Webhook, WebhookDelivery
from app.repositories.delivery_repository import EventOutline
from app.repositories.event_repository import StoredEvent
from chassis.events.event import CONTENT_TYPE

# Seconds until the second attempt, doubled for each further one, up to the longest.
FIRST_DELAY, LONGEST_DELAY = 5.0, 3600.0
# Each delay differs by up to this part, so that retries do not come together.
JITTER = 0.2

#: While its secret changes, a webhook signs with both.
ROTATION = timedelta(hours=24)

GONE = 410
#: The receiver as a whole is away; any other status is about one event.
AWAY = {429, 502, 503, 504}


def wants(webhook: Webhook, event: EventOutline) -> bool:
    """Whether the webhook gets the event: one of its types, and not from before it."""
    created_at = webhook.created_at or event.time
    return event.time >= created_at and matches_type(webhook.types, event.type)


def matches_type(patterns: Iterable[str], event_type: str) -> bool:
    """Whether one of the patterns matches; ``*`` stands for one word of a type."""
    return any(
        re.fullmatch(re.escape(pattern).replace(r"\*", "[a-z0-9_]+"), event_type)
        for pattern in patterns
    )


def delivery_delay(attempts: int, asked: float | None = None) -> timedelta:
    """How long to wait after that many attempts. ``asked`` is what the receiver wants,
    in seconds; it may only make the delay longer, up to the longest."""
    seconds = FIRST_DELAY * 2 ** min(attempts - 1, 20)
    seconds = min(max(seconds, asked or 0), LONGEST_DELAY)
    # nosec: this is no secret
    return timedelta(seconds=seconds * random.uniform(1, 1 + JITTER))  # nosec


def body_of(event: StoredEvent, source: str, max_bytes: int) -> str:
    """The event as JSON; if it is too long, with a reference (CloudEvents' extension
    ``dataref``) instead of its data."""
    body = event.to_json(source)
    if len(body.encode()) <= max_bytes:
        return body
    short = json.loads(body)
    del short["data"]
    before = event.sequence - 1
    return json.dumps(
        {**short, "dataref": f"/api/v1/events?after={before}&limit=1"},
        separators=(",", ":"),
    )


def headers_of(
    webhook: Webhook, event_id: str, body: str, now: datetime
) -> Mapping[str, str]:
    """The headers of the request, with a signature for each valid secret."""
    secrets = [webhook.secret]
    until = webhook.previous_secret_until
    if webhook.previous_secret and until and now < until:
        secrets.append(webhook.previous_secret)
    return {
        "Content-Type": CONTENT_TYPE,
        "User-Agent": __title__.replace(" ", "-"),
        "webhook-id": event_id,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": " ".join(
            Signer(secret).sign(event_id, now, body) for secret in secrets
        ),
    }


def is_away(attempt: Attempt) -> bool:
    """Whether the receiver as a whole is away, so that other events would fail too."""
    return attempt.error is not None and (
        attempt.status is None or attempt.status in AWAY
    )


def apply_attempt(
    attempt: Attempt,
    webhook: Webhook,
    delivery: WebhookDelivery,
    now: datetime,
    give_up: timedelta,
) -> None:
    """Note the attempt in both rows, and when the next one is due.

    A webhook that fails altogether is disabled, and its deliveries stay pending. So a
    delivery ends in ``failed`` only if the webhook got others meanwhile.
    """
    delivery.attempts += 1
    delivery.first_attempt_at = delivery.first_attempt_at or now
    delivery.last_attempt_at = now
    delivery.last_status, delivery.last_error = attempt.status, attempt.error
    if attempt.error is None:
        delivery.status, delivery.next_attempt_at = "delivered", None
        webhook.failures, webhook.failing_since = 0, None
        return
    webhook.failing_since = webhook.failing_since or now
    delivery.next_attempt_at = now + delivery_delay(
        delivery.attempts, attempt.retry_after
    )
    if is_away(attempt):
        webhook.failures += 1
        webhook.resume_at = now + delivery_delay(webhook.failures, attempt.retry_after)
        delivery.next_attempt_at = webhook.resume_at
    if attempt.status == GONE:
        disable_webhook(
            webhook, now, "The receiver answered 410: it wants no more events."
        )
    elif now - webhook.failing_since >= give_up:
        hours = give_up.total_seconds() / 3600
        disable_webhook(webhook, now, f"Every attempt failed for {hours:g} hours.")
    elif now - delivery.first_attempt_at >= give_up:
        end_in_failure(delivery)


def end_in_failure(delivery: WebhookDelivery) -> None:
    """End the delivery; its owner may have it sent again."""
    delivery.status, delivery.next_attempt_at = "failed", None


def disable_webhook(webhook: Webhook, now: datetime, reason: str) -> None:
    """Send nothing more until somebody enables it again."""
    webhook.disabled_at, webhook.disabled_reason = now, reason
