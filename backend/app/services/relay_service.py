"""The relay: publishes the event log to RabbitMQ, each event at least once."""

import logging
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import replace

from app.core.exceptions import DatabaseBusy, DatabaseUnavailable
from app.repositories.event_repository import StoredEvent
from app.repositories.pages import MAX_BYTES
from app.repositories.relay_repository import RelayTurn
from chassis.events.publish_tracing import batch_span, count_published
from chassis.events.publisher import EventMessage, EventPublisher, NotPublished
from chassis.heartbeat import HeartbeatFile
from chassis.rpc.backoff import Backoff

logger = logging.getLogger(__name__)

#: Events of one transaction: at first, and at most.
FIRST_EVENTS, MOST_EVENTS = 16, 1024
#: RabbitMQ 4 accepts no message of more than 16 MiB. A longer event is published
#: without its data.
MAX_EVENT_BYTES = 8 * 1024 * 1024

#: Seconds: a transaction without events; one with events that are slow to publish; how
#: often a stand-by asks whether it is needed.
TURN_SECONDS, BATCH_SECONDS, STANDBY_SECONDS = 30.0, 10.0, 1.0
#: Seconds between two looks into the log: the shortest while events come, the longest
#: without any for ten seconds.
SHORTEST_PAUSE, LONGEST_PAUSE = 0.02, 0.2
TICK_SECONDS = 1.0

BeginTurn = Callable[[], AbstractContextManager[RelayTurn | None]]


class EventRelayService:
    """Runs until :meth:`stop`. Of several, one is active and the others stand by.

    When an event arrives for the first time, all earlier events of its subject have
    arrived: no two events of one subject are on their way at once. Otherwise a full
    queue could refuse the first and accept the second.
    """

    def __init__(
        self,
        begin: BeginTurn,
        publisher: EventPublisher,
        source: str,
        heartbeat: HeartbeatFile | None,
    ) -> None:
        self._begin = begin
        self._publisher = publisher
        self._source = source
        self._heartbeat = heartbeat
        self._next_tick = 0.0
        self._is_stopping = False
        self._is_active: bool | None = None
        self._is_connected: bool | None = None
        self._limit = FIRST_EVENTS
        self._has_backlog = False
        self._latest = time.monotonic()  # when there were events
        self._backoff = Backoff()
        #: The position could not be stored after events were published. Do not publish
        #: them again and again: see first whether it can be.
        self._is_in_doubt = False

    def stop(self) -> None:
        """Let :meth:`run` return soon; also for signal handlers."""
        self._is_stopping = True
        self._publisher.interrupt()

    def run(self) -> None:
        """Publish until stopped. Outages are logged and waited for."""
        self._show_connected(False)
        while not self._is_stopping:
            try:
                self._publisher.open()
                pause = self._turn()
                self._backoff.reset()
            except NotPublished as error:
                pause = error.pause
                if error.is_refused:  # do not repeat to others what one has no room for
                    self._limit = 1
                self._show_connected(error.is_refused)
            except (DatabaseUnavailable, DatabaseBusy):
                pause = self._backoff.next_delay()
                self._limit = max(1, self._limit // 2)
                self._show_connected(False)
            self._wait(pause)
        self._show_connected(False)

    def _turn(self) -> float:
        """One transaction; returns the seconds until the next one."""
        failure: NotPublished | None = None
        with self._begin() as turn:
            self._show_connected(True)
            self._note_role(is_active=turn is not None)
            if turn is None:
                return STANDBY_SECONDS
            if self._is_in_doubt:
                turn.move(turn.position)
            elif events := self._next_events(turn):
                self._is_in_doubt = True
                failure = self._publish(turn, events)
        self._is_in_doubt = False
        if failure:
            raise failure
        return 0.0

    def _next_events(self, turn: RelayTurn) -> list[StoredEvent]:
        """Wait for events; none if it is stopped, or the transaction gets old."""
        until = time.monotonic() + TURN_SECONDS
        if not self._has_backlog:  # let some gather: each turn has its own cost
            self._publisher.wait(SHORTEST_PAUSE)
        while not self._is_stopping and (now := time.monotonic()) < until:
            if events := turn.next_events(self._limit):
                self._latest = now
                self._has_backlog = len(events) >= self._limit
                return events
            pause = (now - self._latest) * SHORTEST_PAUSE
            self._publisher.wait(min(LONGEST_PAUSE, max(SHORTEST_PAUSE, pause)))
            self._tick()
        return []

    def _publish(
        self, turn: RelayTurn, events: list[StoredEvent]
    ) -> NotPublished | None:
        """Publish what is confirmed in time, and move the position as far."""
        until = time.monotonic() + BATCH_SECONDS
        position, failure = turn.position, None
        causes = [event.traceparent for event in events]
        with batch_span(self._publisher.exchange, causes):
            for part in different_subjects(events):
                try:
                    self._publisher.publish(list(self._messages(part, position)))
                except NotPublished as error:
                    failure = error
                    break
                position = part[-1].sequence
                count_published(event.type for event in part)
                self._tick()
                if time.monotonic() > until:
                    break
        if position > turn.position:
            turn.move(position)
        self._adapt(events)
        return failure

    def _messages(
        self, events: Iterable[StoredEvent], previous: int
    ) -> Iterator[EventMessage]:
        for event in events:
            body = event.to_json(self._source).encode()
            if len(body) > MAX_EVENT_BYTES:
                logger.warning(
                    "Event %s (%s of %s) has %d bytes: it is published without data",
                    *(event.sequence, event.type, event.subject, len(body)),
                )
                body = replace(event, data="null").to_json(self._source).encode()
            name = str(event.event_id)
            yield EventMessage(name, event.type, body, previous, event.traceparent)
            previous = event.sequence

    def _adapt(self, events: list[StoredEvent]) -> None:
        """Read more events at once next time, unless they are large: PostgreSQL reads
        all of them to know their size."""
        if sum(len(event.data) for event in events) > MAX_BYTES / 2:
            self._limit = len(events)
        else:
            self._limit = min(MOST_EVENTS, 2 * self._limit)

    def _wait(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        self._tick()
        while not self._is_stopping and (left := until - time.monotonic()) > 0:
            try:
                self._publisher.wait(min(left, TICK_SECONDS))
            except NotPublished as error:  # the next attempt connects again
                until = time.monotonic() + error.pause
            self._tick()

    def _tick(self) -> None:
        now = time.monotonic()
        if self._heartbeat and now >= self._next_tick:
            self._next_tick = now + TICK_SECONDS
            self._heartbeat.touch()

    def _show_connected(self, connected: bool) -> None:
        if self._heartbeat and connected is not self._is_connected:
            self._heartbeat.set_connected(connected)
            self._is_connected = connected

    def _note_role(self, *, is_active: bool) -> None:
        if is_active is not self._is_active:
            self._is_active = is_active
            text = "This relay is active" if is_active else "Another relay is active"
            logger.info(text)


def different_subjects(events: Iterable[StoredEvent]) -> Iterator[list[StoredEvent]]:
    """The events in parts, in order; no part has two events of one subject."""
    part: list[StoredEvent] = []
    seen: set[str] = set()
    for event in events:
        if event.subject in seen:
            yield part
            part, seen = [], set()
        part.append(event)
        seen.add(event.subject)
    if part:
        yield part
