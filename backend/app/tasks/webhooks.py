"""Sends events to webhooks: a run each second, which ends at once if nothing is due.

A run claims webhooks, and sends the events of each one after another, in their order.
It marks a delivery after the answer: a worker that is killed in between sends it again,
with the same ``webhook-id``.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import TypeVar
from uuid import uuid4

from celery import shared_task
from sqlmodel import Session

from app.core.database import translate_errors
from app.infrastructure.webhook_sender import Attempt, WebhookSender
from app.repositories.delivery_repository import (
    DueDelivery,
    add_deliveries,
    count_pending,
    delete_old_deliveries,
    events_after,
    lock_delivery,
    next_delivery,
)
from app.repositories.webhook_repository import (
    claim_webhooks,
    lock_claimed,
    release_webhook,
)
from app.services import webhook_rules
from app.tasks.maintenance import prune, servers_needed
from app.tasks.resources import WorkerResources, get_worker_resources
from app.tasks.scheduling import DAY, scheduled
from chassis.telemetry import tracing

logger = logging.getLogger(__name__)

_attempts = tracing.meter.create_counter(
    "app.webhooks.attempts",
    unit="{request}",
    description="Attempts to deliver an event to a webhook, by what became of the "
    "delivery.",
)
_disabled = tracing.meter.create_counter(
    "app.webhooks.disabled",
    unit="{webhook}",
    description="Webhooks that were disabled because their receiver failed for too "
    "long, or wants no more events.",
)

#: Runs at a time, of all workers: accepted work needs the other processes.
SENDERS = 1
#: Webhooks that one run sends to at a time.
AT_ONCE = 32
#: Webhooks of one host that all runs together send to at a time.
PER_HOST = 4
#: Deliveries of one webhook that wait at most. Further events wait in the log.
PENDING = 1000
#: Events that are read from the log at a time.
EVENTS_AT_ONCE = 100
#: Seconds in which a run begins attempts.
RUN_SECONDS = 5.0
#: Seconds that a lease lasts beyond the last attempt.
MARGIN = 10.0
#: Connections to PostgreSQL that a run uses.
THREADS = 2

Result = TypeVar("Result")


@scheduled(lambda settings: settings.webhooks.every_seconds, queue="high")
@shared_task(autoretry_for=())  # the next run is soon due
@servers_needed()
def send_webhooks() -> None:
    """Send what is due, for some seconds."""
    run = _Run(get_worker_resources())
    if claimed := run.claim():
        asyncio.run(run.send_all(claimed))


@scheduled(lambda settings: DAY, queue="low")
@shared_task
@servers_needed()
def prune_deliveries() -> None:
    """Delete deliveries that ended long ago, some at a time."""
    settings = get_worker_resources().settings
    prune(delete_old_deliveries, settings.webhooks.retention_days)


class _Run:
    def __init__(self, resources: WorkerResources) -> None:
        self._engine = resources.engine
        self._settings = resources.settings
        self._id = uuid4()
        self._until = time.monotonic() + RUN_SECONDS
        self._threads = ThreadPoolExecutor(THREADS)

    def claim(self) -> list[int]:
        webhooks = self._settings.webhooks
        lease = RUN_SECONDS + webhooks.timeout_seconds + MARGIN
        with translate_errors(), Session(self._engine) as session:
            claimed = claim_webhooks(
                session,
                self._id,
                timedelta(seconds=lease),
                senders=SENDERS,
                at_once=AT_ONCE,
                per_host=PER_HOST,
                pending=PENDING,
            )
            session.commit()
        return claimed

    async def send_all(self, claimed: list[int]) -> None:
        """Raises what went wrong, once all have ended."""
        with self._threads:
            results = await asyncio.gather(
                *(self._send(webhook_id) for webhook_id in claimed),
                return_exceptions=True,
            )
        for result in results:
            if isinstance(result, BaseException):
                raise result

    async def _send(self, webhook_id: int) -> None:
        sender = WebhookSender(
            self._settings.webhooks, allows_http=self._settings.allows_http_webhooks
        )
        try:
            async with sender:
                while time.monotonic() < self._until:
                    due = await self._aside(
                        lambda session: next_delivery(session, webhook_id, self._id)
                    )
                    if due is not None:
                        if not await self._deliver(sender, due):
                            return
                    elif not await self._aside(
                        lambda session: self._read_log(session, webhook_id)
                    ):
                        return
        finally:
            await self._aside(
                lambda session: release_webhook(session, webhook_id, self._id)
            )

    async def _aside(self, work: Callable[[Session], Result]) -> Result:
        """Run one transaction outside the event loop."""

        def transact() -> Result:
            with (
                translate_errors(),
                Session(self._engine, expire_on_commit=False) as session,
            ):
                result = work(session)
                session.commit()
                return result

        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, transact)

    def _read_log(self, session: Session, webhook_id: int) -> bool:
        """Make deliveries of the next events; False if there are none, or enough."""
        webhook = lock_claimed(session, webhook_id, self._id)
        if webhook is None:
            return False
        # More may wait: the owner may have failed ones sent again.
        room = max(0, PENDING - count_pending(session, webhook_id))
        events = events_after(session, webhook, min(room, EVENTS_AT_ONCE))
        if not events:
            return False
        matching = [e for e in events if webhook_rules.wants(webhook, e)]
        add_deliveries(session, webhook, matching)
        webhook.position = events[-1].sequence
        return True

    async def _deliver(self, sender: WebhookSender, due: DueDelivery) -> bool:
        """One attempt; False if the receiver is away."""
        if due.event is None:
            attempt = Attempt(error="The event is no longer in the log.")
            await self._aside(lambda session: _note(session, due, attempt, None))
            return True
        source = self._settings.events.source
        webhooks = self._settings.webhooks
        body = webhook_rules.body_of(due.event, source, webhooks.max_body_bytes)
        event_id = str(due.event.event_id)
        headers = webhook_rules.headers_of(due.webhook, event_id, body, due.now)
        attempt = await sender.post(due.webhook.url, body, headers)
        give_up = timedelta(days=webhooks.give_up_days)
        await self._aside(lambda session: _note(session, due, attempt, give_up))
        return not webhook_rules.is_away(attempt)


def _note(
    session: Session, due: DueDelivery, attempt: Attempt, give_up: timedelta | None
) -> None:
    """Store what came of it; without ``give_up`` it is the last attempt."""
    found = lock_delivery(session, due.delivery.id)
    if found is None:
        return
    webhook, delivery, now = found
    was_enabled = webhook.disabled_at is None
    if give_up is None:
        delivery.last_error = attempt.error
        webhook_rules.end_in_failure(delivery)
    else:
        webhook_rules.apply_attempt(attempt, webhook, delivery, now, give_up)
    outcome = "retried" if delivery.status == "pending" else delivery.status
    _attempts.add(1, {"app.webhooks.outcome": outcome})
    if attempt.error is not None:
        logger.info(
            "Webhook %s, host %s: event %s, attempt %s: %s",
            *(webhook.id, webhook.host, delivery.event_id, delivery.attempts),
            attempt.error,
        )
    if was_enabled and webhook.disabled_at is not None:
        _disabled.add(1)
        logger.warning(
            "Webhook %s, host %s, is disabled: %s",
            *(webhook.id, webhook.host, webhook.disabled_reason),
        )
