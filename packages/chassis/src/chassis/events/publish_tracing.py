"""Spans and figures of published events.

A message carries the trace of its event's request. A batch has events of many requests,
so its span is of no request, and links to theirs.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import Link, SpanKind

from chassis.telemetry import tracing

#: What OpenTelemetry's SDK keeps of the links of one span, by default.
MOST_LINKS = 128

_published = tracing.meter.create_counter(
    "app.events.published",
    unit="{event}",
    description="Events that the relay published, by type.",
)


def batch_span(
    exchange: str, traceparents: Sequence[str | None]
) -> AbstractContextManager[object]:
    """A span around the publishing of one batch, if telemetry is on."""
    if not tracing.is_enabled():
        return tracing.NOTHING
    causes = dict.fromkeys(parent for parent in traceparents if parent)
    contexts = [
        trace.get_current_span(
            tracing.parent_of({"traceparent": cause})
        ).get_span_context()
        for cause in list(causes)[:MOST_LINKS]
    ]
    return tracing.tracer.start_as_current_span(
        f"publish {exchange}",
        Context(),
        SpanKind.PRODUCER,
        {
            "messaging.system": "rabbitmq",
            "messaging.destination.name": exchange,
            "messaging.operation.name": "publish",
            "messaging.operation.type": "send",
            "messaging.batch.message_count": len(traceparents),
        },
        links=[Link(context) for context in contexts if context.is_valid],
    )


def count_published(types: Iterable[str]) -> None:
    """Count events that the broker has confirmed."""
    for type, number in Counter(types).items():
        _published.add(number, {"app.event.type": type})
