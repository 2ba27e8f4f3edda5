"""A span and its metrics for each message, by OpenTelemetry's messaging conventions."""

import time
from collections.abc import Callable
from typing import Any

from opentelemetry import metrics, propagate, trace
from opentelemetry.context import Context
from opentelemetry.trace import Span, SpanKind, Status, StatusCode

from app import json_text
from app.histograms import Histogram
from app.rpc.message import INTERNAL_ERROR, Outcome, Request, Settlement
from app.telemetry import VERSION

#: The `error.type` of a request that was dropped because nobody waits any more.
DEADLINE_EXCEEDED = "deadline_exceeded"

#: Bounds of the histograms, in seconds.
DURATIONS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5, 30)

Handle = Callable[[Request], Outcome]


class TracedHandler:
    """Handles as `handle` does, within a span whose parent is the caller's."""

    def __init__(self, handle: Handle, queue: str, system: str) -> None:
        self._handle = handle
        self._name = f"process {queue}"
        self._attributes = {
            "messaging.system": system,
            "messaging.destination.name": queue,
            "messaging.operation.name": "process",
        }
        self._tracer = trace.get_tracer("app.rpc", VERSION)
        meter = metrics.get_meter("app.rpc", VERSION)
        self._durations = Histogram(
            "messaging.process.duration",
            unit="s",
            description="Duration of handling one request.",
            bounds=DURATIONS,
        )
        self._waits = Histogram(
            "app.rpc.queue.duration",
            unit="s",
            description="Time of a request between its caller and its handler.",
            bounds=DURATIONS,
        )
        self._dead_letters = meter.create_counter(
            "app.rpc.dead_letters",
            unit="{message}",
            description="Requests that went to the dead-letter queue, by reason.",
        )

    def __call__(self, request: Request) -> Outcome:
        began = time.perf_counter()
        attributes = self._attributes
        waited = request.waited()
        if waited is not None:
            self._waits.record(waited, attributes)
        with trace.use_span(self._start(request, waited), end_on_exit=True) as span:
            outcome = self._handle(request)
            if error := error_type(outcome):
                attributes = {**attributes, "error.type": error}
                span.set_attribute("error.type", error)
                if outcome.settlement is not Settlement.ACK or outcome.reply is None:
                    span.set_status(Status(StatusCode.ERROR))
            if outcome.settlement is Settlement.DEAD_LETTER:
                self._dead_letters.add(1, attributes)
            self._durations.record(time.perf_counter() - began, attributes)
        return outcome

    def _start(self, request: Request, waited: float | None) -> Span:
        parent = _parent(request)
        caller = trace.get_current_span(parent)
        context = caller.get_span_context()
        if context.is_valid and not context.trace_flags.sampled:
            return caller  # of a trace that is not kept: its id is all that is needed
        described = self._describe(request, waited)
        return self._tracer.start_span(self._name, parent, SpanKind.CONSUMER, described)

    def _describe(self, request: Request, waited: float | None) -> dict[str, Any]:
        described: dict[str, Any] = {
            **self._attributes,
            "messaging.operation.type": "process",
            "messaging.message.body.size": len(request.body),
            "messaging.message.conversation_id": str(request.correlation_id),
            "app.request_id": request.request_id,
            "app.task_id": request.task_id,
            "app.rpc.delivery": request.attempt,
        }
        if waited is not None:
            described["app.rpc.queue_time"] = waited
        return described


def error_type(outcome: Outcome) -> str | None:
    """The code of what went wrong, if anything did."""
    if outcome.settlement is Settlement.REQUEUE:
        return INTERNAL_ERROR
    if outcome.reply is None:
        return DEADLINE_EXCEEDED
    if outcome.reply.is_error:
        return str(json_text.loads(outcome.reply.body.decode())["code"])
    return None


def _parent(request: Request) -> Context:
    texts = {k: v for k, v in request.headers.items() if isinstance(v, str)}
    return propagate.extract(texts, Context())
