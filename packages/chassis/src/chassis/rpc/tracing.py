"""Spans and durations of calls, by OpenTelemetry's messaging conventions.

A call's span starts when the caller submits the request and ends with the answer; the
service's ``process`` span is its child. No library knows this protocol, so these spans
are ours.
"""

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Any, Protocol

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.metrics import Observation
from opentelemetry.trace import Span, SpanKind, Status, StatusCode

from chassis.errors import DeadlineExceeded, Refused, ServiceUnavailable
from chassis.rpc import wire
from chassis.rpc.call import Call
from chassis.telemetry import tracing

Handle = Callable[[wire.Request], wire.Outcome]

_call_durations = tracing.histogram(
    "rpc.client.call.duration",
    "Duration of a call to a service, from request to answer.",
)
_process_durations = tracing.histogram(
    "messaging.process.duration", "Duration of handling one request or event."
)
_waits = tracing.histogram(
    "app.rpc.queue.duration",
    "Time that a request takes from its caller to its handler.",
)
_dead_letters = tracing.meter.create_counter(
    "app.rpc.dead_letters",
    unit="{message}",
    description="Dead-lettered requests and events, by reason.",
)


class Calls(Protocol):
    """The state of a client's calls, as metrics report it."""

    @property
    def in_flight(self) -> int: ...

    @property
    def refusal(self) -> str | None: ...


def watch_calls(calls: Calls, system: str) -> None:
    """Report the calls in flight, at each export."""
    if not tracing.is_enabled():
        return
    attributes = {"messaging.system": system}
    tracing.meter.create_observable_up_down_counter(
        "rpc.client.active_calls",
        [lambda _: [Observation(calls.in_flight, attributes)]],
        unit="{call}",
        description="Calls that wait for their answer.",
    )
    tracing.meter.create_observable_gauge(
        "app.rpc.broker.available",
        [lambda _: [Observation(int(calls.refusal is None), attributes)]],
        description="1 if the broker is connected and accepts messages, else 0.",
    )


def traced_call(system: str, call: Call) -> AbstractContextManager[object]:
    """A span around one call; the call's headers receive its context."""
    return _TracedCall(system, call) if tracing.is_enabled() else tracing.NOTHING


class _TracedCall:
    """Not a generator, to be fast: every request passes here."""

    __slots__ = ("_attributes", "_began", "_context", "_span")

    def __init__(self, system: str, call: Call) -> None:
        self._began = time.perf_counter()
        self._attributes: dict[str, Any] = {
            "messaging.system": system,
            "messaging.destination.name": call.queue,
        }
        self._context: Context | None = None
        if tracing.is_dropped():
            tracing.inject(call.headers)
            self._span: Span = trace.INVALID_SPAN
            return
        self._span = tracing.tracer.start_span(
            f"publish {call.queue}",
            kind=SpanKind.PRODUCER,
            attributes={
                **self._attributes,
                "messaging.operation.name": "publish",
                "messaging.operation.type": "send",
                "messaging.message.conversation_id": call.id,
                "messaging.message.body.size": len(call.body),
                "app.request_id": call.headers[wire.REQUEST_ID],
                "app.task_id": call.headers[wire.TASK_ID],
                "app.rpc.timeout": call.timeout,
                **enduser(call.headers.get(wire.PRINCIPAL)),
            },
        )
        self._context = trace.set_span_in_context(self._span)
        tracing.inject(call.headers, self._context)

    def __enter__(self) -> None:
        """The span has started; it does not become the current one."""

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        attributes = self._attributes
        if isinstance(error, Refused):  # a normal answer to the caller's span
            self._span.set_attribute("error.type", error.code)
        elif error is not None:
            tracing.fail(self._span, error)
        if error is not None:
            attributes = {**attributes, "error.type": tracing.error_type(error)}
        duration = time.perf_counter() - self._began
        _call_durations.record(duration, attributes, self._context)
        self._span.end()


class TracedHandler:
    """Calls ``handle`` within a span that is a child of the caller's."""

    def __init__(self, handle: Handle, destination: str, system: str) -> None:
        self._handle = handle
        self._name = f"process {destination}"
        self.attributes = {
            "messaging.system": system,
            "messaging.destination.name": destination,
            "messaging.operation.name": "process",
        }

    def __call__(self, request: wire.Request) -> wire.Outcome:
        """Handle one request."""
        began = time.perf_counter()
        attributes = self.attributes
        parent = self.parent_of(request)
        with (
            tracing.within(parent),  # the caller's baggage
            trace.use_span(self._start(request, parent), end_on_exit=True) as span,
        ):
            self.record_wait(request)
            outcome = self._handle(request)
            if outcome.error is not None:
                attributes = {**attributes, "error.type": outcome.error}
                span.set_attribute("error.type", outcome.error)
                if _has_failed(outcome):
                    span.set_status(Status(StatusCode.ERROR))
            if outcome.settlement is wire.Settlement.DEAD_LETTER:
                _dead_letters.add(1, attributes)
            _process_durations.record(time.perf_counter() - began, attributes)
        return outcome

    def _start(self, request: wire.Request, parent: Context) -> Span:
        caller = trace.get_current_span(parent)
        context = caller.get_span_context()
        if context.is_valid and not context.trace_flags.sampled:
            return caller  # for a trace that is not kept, its id is all we need
        attributes: dict[str, Any] = {
            **self.attributes,
            "messaging.operation.type": "process",
            "messaging.message.body.size": len(request.body),
            **self.describe(request),
        }
        return tracing.tracer.start_span(
            self._name, parent, SpanKind.CONSUMER, attributes
        )

    def parent_of(self, request: wire.Request) -> Context:
        """The trace that the request belongs to."""
        return tracing.parent_of(request.headers)

    def record_wait(self, request: wire.Request) -> None:
        """Record how long the request has waited, in the metric for that."""
        if (waited := request.waited()) is not None:
            _waits.record(waited, self.attributes)

    def describe(self, request: wire.Request) -> dict[str, Any]:
        """The span's attributes that the request has."""
        waited = request.waited()
        return {
            "messaging.message.conversation_id": str(request.correlation_id),
            "app.request_id": request.request_id,
            "app.task_id": request.task_id or "",
            "app.rpc.delivery": request.attempt,
            **enduser(request.principal),
            **({} if waited is None else {"app.rpc.queue_time": waited}),
        }


def enduser(principal: str | None) -> dict[str, str]:
    """The caller, as an attribute of spans."""
    return {} if principal is None else {"enduser.id": principal}


def _has_failed(outcome: wire.Outcome) -> bool:
    """A refusal is an answer; an error that the caller may retry is a failure."""
    if outcome.error in (DeadlineExceeded.code, ServiceUnavailable.code):
        return True
    return outcome.settlement is not wire.Settlement.ACK
