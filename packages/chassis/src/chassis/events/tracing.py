"""Spans and durations of events, by OpenTelemetry's messaging conventions."""

import time
from datetime import datetime
from typing import Any

from opentelemetry.context import Context

from chassis.events.event import Event, InvalidEvent
from chassis.events.handling import tried
from chassis.events.topology import Subscription
from chassis.rpc.tracing import Handle, TracedHandler, enduser
from chassis.rpc.wire import Request
from chassis.telemetry import tracing

_delays = tracing.histogram(
    "app.events.delay", "Time from an event to its handler, by the clocks of both."
)


class TracedEventHandler(TracedHandler):
    """Calls ``handle`` within a span that belongs to the trace of what happened."""

    def __init__(self, handle: Handle, subscription: Subscription, system: str) -> None:
        super().__init__(handle, subscription.exchange, system)
        name = "messaging.destination.subscription.name"
        self.attributes[name] = subscription.name

    def parent_of(self, request: Request) -> Context:
        event = _event_of(request)
        if event is None or event.traceparent is None:
            return super().parent_of(request)
        return tracing.parent_of({"traceparent": event.traceparent})

    def record_wait(self, request: Request) -> None:
        if event := _event_of(request):
            try:
                happened = datetime.fromisoformat(event.time).timestamp()
            except ValueError:
                return
            _delays.record(max(0.0, time.time() - happened), self.attributes)

    def describe(self, request: Request) -> dict[str, Any]:
        attempt = {"app.events.attempt": tried(request) + 1}
        event = _event_of(request)
        if event is None:
            return attempt
        return {
            "messaging.message.id": event.id,
            "app.events.type": event.type,
            "app.events.subject": event.subject,
            "app.request_id": event.correlationid or event.id,
            **enduser(event.actor),
            **attempt,
        }


def _event_of(request: Request) -> Event | None:
    try:
        return Event.parse(request.body)
    except InvalidEvent:
        return None
