"""Reads and writes the deliveries of webhooks; no other module writes the table
``webhook_deliveries``."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import delete, func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlmodel import Session, col
from sqlmodel.ext.asyncio.session import AsyncSession

from app.models.events import RecordEvent
from app.models.webhooks import Webhook, WebhookDelivery
from app.repositories.event_repository import STORED_EVENT, StoredEvent, settled
from app.repositories.pages import Page, Rows, read_page

#: Deliveries that one request sends again at most.
REDELIVER_AT_ONCE = 1000
PRUNE_AT_ONCE = 10_000

# As if it had never been tried.
AFRESH: dict[str, Any] = {
    "status": "pending",
    "next_attempt_at": func.now(),
    "first_attempt_at": None,
}


@dataclass(frozen=True, slots=True)
class EventOutline:
    """An event without its data."""

    sequence: int
    event_id: UUID
    type: str
    time: datetime


@dataclass(frozen=True, slots=True)
class DueDelivery:
    """What to send next; ``event`` is None if the log has it no longer."""

    webhook: Webhook
    delivery: WebhookDelivery
    now: datetime
    event: StoredEvent | None


class DeliveryRepository:
    """For the API. It works in the given session, and never commits."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def get_page(self, page: Page, webhook_id: int) -> Rows[WebhookDelivery]:
        """Newest first."""
        of_webhook: Any = {"webhook_id": webhook_id}
        return await read_page(self._session, WebhookDelivery, page, of_webhook)

    async def resume(self, webhook_id: int) -> None:
        """Make all that is pending due now."""
        query = _update_of(webhook_id, "pending").values(**AFRESH)
        await self._session.exec(query)

    async def redeliver(self, webhook_id: int) -> int:
        """Make the oldest failed ones due again; returns how many."""
        failed = (
            select(col(WebhookDelivery.id))
            .filter_by(webhook_id=webhook_id, status="failed")
            .order_by(col(WebhookDelivery.id))
            .limit(REDELIVER_AT_ONCE)
        )
        query = _update_of(webhook_id, "failed").where(
            col(WebhookDelivery.id).in_(failed)
        )
        return int((await self._session.exec(query.values(**AFRESH))).rowcount)


def _update_of(webhook_id: int, status: str) -> Any:
    return update(WebhookDelivery).where(
        col(WebhookDelivery.webhook_id) == webhook_id,
        col(WebhookDelivery.status) == status,
    )


def events_after(session: Session, webhook: Webhook, limit: int) -> list[EventOutline]:
    """The next events that the webhook's owner may see."""
    query = (
        select(
            col(RecordEvent.sequence),
            col(RecordEvent.event_id),
            col(RecordEvent.type),
            col(RecordEvent.time),
        )
        .where(
            col(RecordEvent.sequence) > webhook.position,
            col(RecordEvent.sequence) < settled,
        )
        .order_by(col(RecordEvent.sequence))
        .limit(limit)
    )
    if webhook.events_of is not None:
        query = query.where(col(RecordEvent.owner) == webhook.events_of)
    return [EventOutline(*row) for row in session.execute(query)]


def count_pending(session: Session, webhook_id: int) -> int:
    """How many deliveries wait."""
    query = select(func.count()).select_from(WebhookDelivery)
    query = query.filter_by(webhook_id=webhook_id, status="pending")
    return int(session.scalar(query) or 0)


def add_deliveries(
    session: Session, webhook: Webhook, events: list[EventOutline]
) -> None:
    """Store a delivery of each event, unless there is one."""
    rows = [
        {
            "webhook_id": webhook.id,
            "sequence": event.sequence,
            "event_id": event.event_id,
            "type": event.type,
            "status": "pending",
        }
        for event in events
    ]
    if rows:
        session.execute(insert(WebhookDelivery).on_conflict_do_nothing(), rows)


def next_delivery(session: Session, webhook_id: int, run: UUID) -> DueDelivery | None:
    """The first that is due, while the claim holds and the webhook is enabled."""
    query = (
        select(Webhook, WebhookDelivery, func.now(), *STORED_EVENT)
        .join(WebhookDelivery, col(WebhookDelivery.webhook_id) == col(Webhook.id))
        .outerjoin(
            RecordEvent, col(RecordEvent.sequence) == col(WebhookDelivery.sequence)
        )
        .where(
            col(Webhook.id) == webhook_id,
            col(Webhook.leased_by) == run,
            col(Webhook.leased_until) > func.now(),
            col(Webhook.disabled_at).is_(None),
            col(WebhookDelivery.status) == "pending",
            col(WebhookDelivery.next_attempt_at) <= func.now(),
        )
        .order_by(col(WebhookDelivery.sequence))
        .limit(1)
    )
    row = session.execute(query).first()
    if row is None:
        return None
    webhook, delivery, now, *event = row
    found = None if event[0] is None else StoredEvent(*event)
    return DueDelivery(webhook, delivery, now, found)


def lock_delivery(
    session: Session, delivery_id: int | None
) -> tuple[Webhook, WebhookDelivery, datetime] | None:
    """The delivery and its webhook, locked; None if they are gone, or another process
    has ended the delivery."""
    query = (
        select(Webhook, WebhookDelivery, func.clock_timestamp())
        .join(WebhookDelivery, col(WebhookDelivery.webhook_id) == col(Webhook.id))
        .where(
            col(WebhookDelivery.id) == delivery_id,
            col(WebhookDelivery.status) == "pending",
        )
        .with_for_update()
    )
    row = session.execute(query).first()
    return None if row is None else (row[0], row[1], row[2])


def delete_old_deliveries(session: Session, age: timedelta) -> bool:
    """Delete some ended ones older than ``age``; False if there were none."""
    old = (
        select(col(WebhookDelivery.id))
        .where(
            col(WebhookDelivery.created_at) < func.now() - age,
            col(WebhookDelivery.status) != "pending",
        )
        .limit(PRUNE_AT_ONCE)
        .with_for_update(skip_locked=True)
    )
    query = delete(WebhookDelivery).where(col(WebhookDelivery.id).in_(old))
    return session.execute(query.returning(col(WebhookDelivery.id))).first() is not None
