"""Reads and writes webhooks; no other module writes the table ``webhooks``.

The API uses :class:`WebhookRepository`. The worker claims webhooks for a time, so that
only one process sends to each, and none is lost when that process is killed.
"""

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import delete, func, select, text, update
from sqlmodel import Session, col
from sqlmodel.ext.asyncio.session import AsyncSession

from app.core.locks import WEBHOOKS
from app.models.webhooks import Webhook
from app.repositories.pages import Page, Rows, read_page

# What a webhook may have to send: a delivery that is due, or events that are settled,
# unless enough deliveries wait. Pairs and ORDER BY leave only the index on owner and
# sequence: PostgreSQL would else read the whole log for an owner with few events.
DUE = """
    w.disabled_at IS NULL AND w.resume_at <= now()
    AND (w.leased_until IS NULL OR w.leased_until <= now())
    AND (
        EXISTS (
            SELECT FROM webhook_deliveries AS d
            WHERE d.webhook_id = w.id AND d.status = 'pending'
                AND d.next_attempt_at <= now()
        )
        OR CASE WHEN w.events_of IS NULL THEN (
            SELECT e.sequence FROM record_events AS e
            WHERE e.sequence > w.position AND e.sequence < (SELECT settled_events())
            ORDER BY e.sequence LIMIT 1
        ) ELSE (
            SELECT e.sequence FROM record_events AS e
            WHERE (e.owner, e.sequence) > (w.events_of, w.position)
                AND (e.owner, e.sequence) < (w.events_of, (SELECT settled_events()))
            ORDER BY e.owner, e.sequence LIMIT 1
        ) END IS NOT NULL
        AND (
            SELECT count(*) FROM webhook_deliveries AS d
            WHERE d.webhook_id = w.id AND d.status = 'pending'
        ) < :pending
    )
"""
IS_ANY_DUE = text(f"SELECT EXISTS (SELECT FROM webhooks AS w WHERE {DUE})")  # nosec
# Those that have waited longest come first, and no host gets more than its share.
CLAIM = text(f"""
WITH busy AS (
    SELECT host, count(*) AS number FROM webhooks
    WHERE leased_until > now() GROUP BY host
), due AS (
    SELECT w.id, w.leased_until, coalesce(busy.number, 0) + row_number()
        OVER (PARTITION BY w.host ORDER BY w.leased_until NULLS FIRST, w.id) AS place
    FROM webhooks AS w LEFT JOIN busy USING (host) WHERE {DUE}
)
UPDATE webhooks SET leased_by = :run, leased_until = now() + :lease
WHERE (
        SELECT count(DISTINCT leased_by) FROM webhooks WHERE leased_until > now()
    ) < :senders
    AND id IN (
        SELECT id FROM due WHERE place <= :per_host
        ORDER BY leased_until NULLS FIRST, id LIMIT :at_once
    )
RETURNING id
""")  # nosec: of constants


class WebhookRepository:
    """Works in the given session, and never commits. With ``owner`` it finds only that
    owner's rows."""

    def __init__(self, session: AsyncSession, owner: str | None = None) -> None:
        self._session = session
        self._owner = {} if owner is None else {"owner": owner}

    async def count_of(self, owner: str | None) -> int:
        """How many that owner has; the owner's other requests to create one wait until
        this transaction ends."""
        key = func.hashtextextended(owner or "", WEBHOOKS)
        lock: Any = select(func.pg_advisory_xact_lock(key))
        await self._session.exec(lock)
        own = col(Webhook.owner).is_not_distinct_from(owner)
        query = select(func.count()).select_from(Webhook).where(own)
        return int(await self._session.scalar(query) or 0)

    async def first_position(self) -> int:
        """That of a new webhook: every event that is not settled yet comes after it."""
        query = select(func.settled_events() - 1)
        return int(await self._session.scalar(query) or 0)

    async def save(self, webhook: Webhook) -> Webhook:
        """Store a new or a changed row, and read back what the database set."""
        self._session.add(webhook)
        await self._session.flush()
        await self._session.refresh(webhook)
        return webhook

    async def find(self, webhook_id: int, *, lock: bool = False) -> Webhook | None:
        """The row with that id, or None. With ``lock``, nobody else changes or deletes
        it until this transaction ends."""
        query: Any = select(Webhook).filter_by(id=webhook_id, **self._owner)
        if lock:
            query = query.with_for_update()
        found: Webhook | None = await self._session.scalar(query)
        return found

    async def get_page(self, page: Page) -> Rows[Webhook]:
        """Newest first."""
        return await read_page(self._session, Webhook, page, self._owner)

    async def delete(self, webhook_id: int) -> bool:
        """Delete it with its deliveries; False if there is none."""
        query = delete(Webhook).filter_by(id=webhook_id, **self._owner)
        return (await self._session.exec(query)).rowcount > 0

    async def now(self) -> datetime:
        """The time of the transaction."""
        query: Any = select(func.now())
        moment: datetime = (await self._session.exec(query)).scalar_one()
        return moment


def claim_webhooks(
    session: Session,
    run: UUID,
    lease: timedelta,
    *,
    senders: int,
    at_once: int,
    per_host: int,
    pending: int,
) -> list[int]:
    """Claim webhooks with something to send, for the time of the lease.

    Args:
        run: names the caller.
        senders: how many callers may have claims at a time.
        at_once: webhooks that one caller gets at most.
        per_host: webhooks of one host that all callers have at most.
        pending: a webhook with that many pending deliveries needs no further events.
    """
    if not session.scalar(IS_ANY_DUE, {"pending": pending}):
        return []
    # Claims come one after another: otherwise two could exceed a bound together.
    session.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": WEBHOOKS})
    claimed = session.execute(
        CLAIM,
        {
            "run": run,
            "lease": lease,
            "senders": senders,
            "at_once": at_once,
            "per_host": per_host,
            "pending": pending,
        },
    )
    return [row.id for row in claimed]


def release_webhook(session: Session, webhook_id: int, run: UUID) -> None:
    """End the claim."""
    session.execute(
        update(Webhook)
        .where(col(Webhook.id) == webhook_id, col(Webhook.leased_by) == run)
        .values(leased_by=None, leased_until=func.now())
    )


def lock_claimed(session: Session, webhook_id: int, run: UUID) -> Webhook | None:
    """The row, locked, while the claim holds and the webhook is enabled."""
    query = (
        select(Webhook)
        .where(
            col(Webhook.id) == webhook_id,
            col(Webhook.leased_by) == run,
            col(Webhook.leased_until) > func.now(),
            col(Webhook.disabled_at).is_(None),
        )
        .with_for_update()
    )
    found: Webhook | None = session.scalar(query)
    return found
