"""Handles one event, from its delivery to its outcome."""

import logging
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import copy_context
from typing import TYPE_CHECKING, Any

from chassis.context import (
    current_principal,
    current_request_id,
    current_task_id,
)
from chassis.errors import DeadlineExceeded, ServiceFailed, Unavailable
from chassis.events import topology
from chassis.events.event import Event, InvalidEvent
from chassis.events.handlers import Handler
from chassis.logs import ACCESS, log_work, together
from chassis.outages import Outage
from chassis.rpc.backoff import Backoff
from chassis.rpc.wire import Outcome, Request, Settlement

if TYPE_CHECKING:  # it imports psycopg2, which most services do without
    from chassis.events.inbox import Inbox

logger = logging.getLogger(__name__)
access = logging.getLogger(ACCESS)

#: Ours: how often the event was tried before.
TRIED = "x-tried"

INVALID, FAILED, STOPPED = "invalid_event", "handler_failed", "stopped"
#: The subjects of these are records.
RECORDS = "record."


class EventHandler:
    """Calls the handler and turns any result into an Outcome; never raises.

    While a dependency is away it waits: the event stays first in its queue, and no
    attempt is lost. ``stop`` ends the wait.
    """

    def __init__(self, subscription: str, own: Handler, inbox: "Inbox | None") -> None:
        self._subscription = subscription
        self._own = own
        self._inbox = inbox
        self._stopping = threading.Event()
        self._outage = Outage(f"what the handler of {own.pattern} calls")

    def stop(self) -> None:
        """Stop waiting for dependencies."""
        self._stopping.set()

    def __call__(self, request: Request) -> Outcome:
        """Handle one event in its context."""
        began = time.perf_counter()
        try:
            event = Event.parse(request.body)
        except InvalidEvent as error:
            logger.warning("Dead-lettered what is no event: %s", error)
            outcome = Outcome(Settlement.DEAD_LETTER, error=INVALID)
            request.context = copy_context()
        else:
            with _context_of(event):
                outcome = self._handle(request, event)
                request.context = copy_context()
        request.seconds = time.perf_counter() - began
        return outcome

    def _handle(self, request: Request, event: Event) -> Outcome:
        backoff = Backoff()
        while not self._stopping.is_set():
            try:
                is_new = self._apply(event)
            except BaseException as error:
                # SystemExit too: it would end this thread and leave the message
                # unsettled.
                if not self._is_away(error):
                    return self._failed(request, event)
                self._stopping.wait(backoff.next_delay())
            else:
                self._outage.restored()
                if not is_new:
                    logger.info("Event %s was received before", event.id)
                return Outcome(Settlement.ACK)
        return Outcome(Settlement.REQUEUE, error=STOPPED)

    def _apply(self, event: Event) -> bool:
        """Whether the event is new."""
        if self._inbox is None:
            self._own.handle(event)
            return True
        self._inbox.prune()
        with self._inbox.receiving(self._subscription, event.id) as cursor:
            if cursor is not None:
                self._own.handle(event, cursor)
        self._inbox.restored()
        return cursor is not None

    def _is_away(self, error: BaseException) -> bool:
        """Whether a dependency is away; logs that."""
        if self._inbox is not None and self._inbox.is_away(error):
            self._inbox.lost(error)
            return True
        if isinstance(error, ServiceFailed):
            return False
        if isinstance(error, Unavailable | DeadlineExceeded):
            self._outage.lost(error)
            return True
        return False

    def _failed(self, request: Request, event: Event) -> Outcome:
        attempt = tried(request) + 1
        is_last = attempt >= topology.ATTEMPTS
        logger.exception(
            "The handler of %s failed on event %s, attempt %d of %d: %s",
            self._own.pattern,
            event.id,
            attempt,
            topology.ATTEMPTS,
            "dead-lettered" if is_last else "it will be tried again",
        )
        settlement = Settlement.DEAD_LETTER if is_last else Settlement.RETRY
        return Outcome(settlement, error=FAILED)


def tried(request: Request) -> int:
    """How often an event was tried before."""
    found: Any = request.headers.get(TRIED, 0)
    return found if isinstance(found, int) else 0


def report_events(queue: str, handled: Iterable[tuple[Request, Outcome]]) -> None:
    """Log one line per event of a queue, from the I/O thread."""
    if access.isEnabledFor(logging.INFO):
        with together():
            for request, outcome in handled:
                if request.context is not None:
                    request.context.run(_report_event, queue, request, outcome)


def _report_event(queue: str, request: Request, outcome: Outcome) -> None:
    log_work("Handled an event", queue, outcome.error or "ok", request.seconds)


@contextmanager
def _context_of(event: Event) -> Iterator[None]:
    is_record = event.type.startswith(RECORDS)
    request_id = current_request_id.set(event.correlationid or event.id)
    task_id = current_task_id.set(event.subject if is_record else None)
    principal = current_principal.set(event.actor)
    try:
        yield
    finally:
        current_principal.reset(principal)
        current_task_id.reset(task_id)
        current_request_id.reset(request_id)
