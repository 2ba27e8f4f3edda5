"""Spans of calls and events: their names, parents and attributes, which dashboards and
searches read."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import NonRecordingSpan, SpanContext, SpanKind, StatusCode

from chassis.errors import BrokerUnavailable, DeadlineExceeded, Refused
from chassis.events.event import event_json
from chassis.events.handling import TRIED
from chassis.events.publish_tracing import MOST_LINKS, batch_span
from chassis.events.topology import Subscription
from chassis.events.tracing import TracedEventHandler
from chassis.rpc.call import Call
from chassis.rpc.connection import Delivery
from chassis.rpc.tracing import TracedHandler, traced_call
from chassis.rpc.wire import (
    DELIVERY_COUNT,
    PRINCIPAL,
    REQUEST_ID,
    TASK_ID,
    Outcome,
    Request,
    Settlement,
)
from chassis.telemetry import tracing

Spans = Callable[[], Sequence[ReadableSpan]]

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
KEPT, DROPPED = f"00-{TRACE}-{SPAN}-01", f"00-{TRACE}-{SPAN}-00"


@pytest.fixture
def spans(monkeypatch: pytest.MonkeyPatch) -> Iterator[Spans]:
    """The spans that ended, with telemetry on."""
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(tracing, "tracer", provider.get_tracer("test"))
    tracing.set_enabled(True)
    yield exporter.get_finished_spans
    tracing.set_enabled(False)


def call(**headers: str) -> Call:
    given = {REQUEST_ID: "r-1", TASK_ID: "t-1", **headers}
    return Call("c-1", "work", b"{}", given, 2.5, lambda _: None)


def traceparent(span: ReadableSpan) -> str:
    context = span.get_span_context()
    assert context is not None
    flags = int(context.trace_flags)
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{flags:02x}"


def test_a_call_is_a_span_that_the_service_continues(spans: Spans) -> None:
    sent = call(**{PRINCIPAL: "alice"})
    with traced_call("rabbitmq", sent):
        assert not trace.get_current_span().is_recording()
    (span,) = spans()
    assert (span.name, span.kind) == ("publish work", SpanKind.PRODUCER)
    assert dict(span.attributes or {}) == {
        "messaging.system": "rabbitmq",
        "messaging.destination.name": "work",
        "messaging.operation.name": "publish",
        "messaging.operation.type": "send",
        "messaging.message.conversation_id": "c-1",
        "messaging.message.body.size": 2,
        "app.request_id": "r-1",
        "app.task_id": "t-1",
        "app.rpc.timeout": 2.5,
        "enduser.id": "alice",
    }
    assert span.status.status_code is StatusCode.UNSET
    assert sent.headers["traceparent"] == traceparent(span)


@pytest.mark.parametrize(
    ("error", "code", "status"),
    [
        (Refused("x"), Refused.code, StatusCode.UNSET),  # an answer
        (BrokerUnavailable("x"), BrokerUnavailable.code, StatusCode.ERROR),
        (KeyError("x"), "KeyError", StatusCode.ERROR),
    ],
)
def test_how_a_call_ended(
    spans: Spans, error: Exception, code: str, status: StatusCode
) -> None:
    with pytest.raises(type(error)), traced_call("rabbitmq", call()):
        raise error
    (span,) = spans()
    assert span.attributes and span.attributes["error.type"] == code
    assert "enduser.id" not in span.attributes
    assert span.status.status_code is status
    assert not span.events  # texts of errors may quote a client's data


def test_without_telemetry_a_call_is_untouched() -> None:
    sent = call()
    with traced_call("rabbitmq", sent):
        pass
    assert set(sent.headers) == {REQUEST_ID, TASK_ID}


def test_a_trace_that_is_not_kept_goes_on_without_spans(spans: Spans) -> None:
    sent = call()
    with tracing.within(tracing.parent_of({"traceparent": DROPPED})):
        with traced_call("rabbitmq", sent):
            pass
    assert sent.headers["traceparent"] == DROPPED
    request = received({"traceparent": DROPPED})
    TracedHandler(lambda _: OK, "work", "rabbitmq")(request)
    assert not spans()


OK = Outcome(Settlement.ACK)


def received(headers: dict[str, Any], body: bytes = b"{}") -> Request:
    properties = {"correlation_id": "c-1", "reply_to": "rpc.reply.x"}
    return Request(Delivery(body, headers, properties, 1), None)


def test_handling_is_a_child_of_the_call(spans: Spans) -> None:
    def handle(request: Request) -> Outcome:
        current = trace.get_current_span().get_span_context()
        assert f"{current.trace_id:032x}" == TRACE
        assert f"{current.span_id:016x}" != SPAN
        return OK

    headers = {
        "traceparent": KEPT,
        REQUEST_ID: "r-1",
        PRINCIPAL: "alice",
        DELIVERY_COUNT: 1,
    }
    assert TracedHandler(handle, "work", "rabbitmq")(received(headers)) is OK
    (span,) = spans()
    assert (span.name, span.kind) == ("process work", SpanKind.CONSUMER)
    assert span.parent and f"{span.parent.span_id:016x}" == SPAN
    assert dict(span.attributes or {}) == {
        "messaging.system": "rabbitmq",
        "messaging.destination.name": "work",
        "messaging.operation.name": "process",
        "messaging.operation.type": "process",
        "messaging.message.conversation_id": "c-1",
        "messaging.message.body.size": 2,
        "app.request_id": "r-1",
        "app.task_id": "",
        "app.rpc.delivery": 2,
        "enduser.id": "alice",
    }
    assert span.status.status_code is StatusCode.UNSET


@pytest.mark.parametrize(
    ("outcome", "status"),
    [
        (Outcome(Settlement.ACK, error="too_large"), StatusCode.UNSET),
        (Outcome(Settlement.ACK, error=DeadlineExceeded.code), StatusCode.ERROR),
        (Outcome(Settlement.DEAD_LETTER, error="invalid"), StatusCode.ERROR),
        (Outcome(Settlement.REQUEUE, error="failed"), StatusCode.ERROR),
    ],
    ids=lambda value: getattr(value, "error", ""),
)
def test_how_handling_ended(spans: Spans, outcome: Outcome, status: StatusCode) -> None:
    TracedHandler(lambda _: outcome, "work", "rabbitmq")(received({}))
    (span,) = spans()
    assert span.attributes and span.attributes["error.type"] == outcome.error
    assert span.status.status_code is status and span.parent is None


BODY = event_json(
    id="e-1",
    type="record.deleted",
    source="/api/v1/records",
    subject="s-1",
    sequence=7,
    time="2026-01-02T03:04:05Z",
    data="{}",
    actor="alice",
    correlationid="r-1",
    traceparent=KEPT,
).encode()
SHOP = Subscription("shop", "record.*")


def test_an_event_belongs_to_the_trace_of_what_happened(spans: Spans) -> None:
    handler = TracedEventHandler(lambda _: OK, SHOP, "rabbitmq")
    handler(received({TRIED: 2, "traceparent": DROPPED}, BODY))
    (span,) = spans()
    assert (span.name, span.kind) == ("process events", SpanKind.CONSUMER)
    assert span.parent and f"{span.parent.span_id:016x}" == SPAN
    assert dict(span.attributes or {}) == {
        "messaging.system": "rabbitmq",
        "messaging.destination.name": "events",
        "messaging.destination.subscription.name": "shop.events.record.*",
        "messaging.operation.name": "process",
        "messaging.operation.type": "process",
        "messaging.message.body.size": len(BODY),
        "messaging.message.id": "e-1",
        "app.events.type": "record.deleted",
        "app.events.subject": "s-1",
        "app.events.attempt": 3,
        "app.request_id": "r-1",
        "enduser.id": "alice",
    }


def test_what_is_no_event_has_the_trace_of_its_message(spans: Spans) -> None:
    handler = TracedEventHandler(lambda _: OK, SHOP, "rabbitmq")
    handler(received({"traceparent": KEPT}, b"no event"))
    (span,) = spans()
    assert span.parent and f"{span.parent.span_id:016x}" == SPAN
    assert span.attributes and span.attributes["app.events.attempt"] == 1
    assert "messaging.message.id" not in span.attributes


def test_a_batch_is_linked_to_the_requests_of_its_events(spans: Spans) -> None:
    context = SpanContext(1, 2, is_remote=False)
    with trace.use_span(NonRecordingSpan(context)):
        with batch_span("events", [KEPT, None, KEPT, "nonsense"]):
            assert trace.get_current_span().is_recording()
    (span,) = spans()
    assert (span.name, span.kind) == ("publish events", SpanKind.PRODUCER)
    assert span.parent is None  # of no request
    assert [f"{link.context.span_id:016x}" for link in span.links] == [SPAN]
    assert dict(span.attributes or {}) == {
        "messaging.system": "rabbitmq",
        "messaging.destination.name": "events",
        "messaging.operation.name": "publish",
        "messaging.operation.type": "send",
        "messaging.batch.message_count": 4,
    }


def test_work_that_is_shared_shows_failures_without_their_texts(spans: Spans) -> None:
    """A text may quote what a client sent."""
    origins = [tracing.tracer.start_span(name) for name in ("first", "second")]
    with pytest.raises(ValueError):
        with tracing.shared_span("commit", origins, {"rows": 2}):
            raise ValueError("sesame")
    (span,) = spans()
    assert span.parent == origins[0].get_span_context()
    assert [link.context for link in span.links] == [origins[1].get_span_context()]
    assert span.status.status_code is StatusCode.ERROR
    assert dict(span.attributes or {}) == {"rows": 2, "error.type": "ValueError"}
    assert not span.events and not span.status.description


def test_links_are_bounded(spans: Spans) -> None:
    causes = [f"00-{TRACE}-{number:016x}-01" for number in range(1, MOST_LINKS + 9)]
    with batch_span("events", causes):
        pass
    (span,) = spans()
    assert len(span.links) == MOST_LINKS and not span.dropped_links


def test_without_telemetry_there_is_no_batch() -> None:
    with batch_span("events", [KEPT]):
        assert not trace.get_current_span().is_recording()


def test_a_trace_is_written_down_and_continued(spans: Spans) -> None:
    """By a task that runs later, for example."""
    assert tracing.traceparent() is None
    with tracing.tracer.start_as_current_span("first"):
        parent = tracing.traceparent()
    with tracing.continued(parent), tracing.tracer.start_as_current_span("second"):
        pass
    with tracing.continued(None), tracing.tracer.start_as_current_span("alone"):
        pass
    first, second, alone = spans()
    assert parent == traceparent(first)
    assert second.parent and second.parent.span_id == first.context.span_id
    assert alone.parent is None
    tracing.set_enabled(False)
    with trace.use_span(NonRecordingSpan(SpanContext(1, 2, is_remote=False))):
        assert tracing.traceparent() is None
    with tracing.continued(parent):
        assert not trace.get_current_span().get_span_context().is_valid
