"""What the code says about itself while it runs: the names, and the spans.

Everything here is OpenTelemetry's API. Without ``app.core.telemetry`` having started
its SDK in this process, ``on()`` is False and nothing below does any work.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

from opentelemetry import context, metrics, propagate, trace
from opentelemetry.context import Context
from opentelemetry.trace import Link, Span, SpanKind, Status, StatusCode

from app import __version__

SCOPE = "app"

tracer = trace.get_tracer(SCOPE, __version__)
meter = metrics.get_meter(SCOPE, __version__)

# Seconds. From a call on one machine to the longest deadline.
DURATIONS = (
    *(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5),
    *(1.0, 2.5, 5.0, 10.0, 30.0),
)
BATCHES = (1, 2, 5, 10, 20, 50, 100)

NOTHING: AbstractContextManager[None] = nullcontext()

_on = False


def on() -> bool:
    """Whether this process exports telemetry."""
    return _on


def switch(to: bool) -> None:
    """For ``app.core.telemetry``: the SDK is there, or gone."""
    global _on
    _on = to


def recording() -> bool:
    """Whether the current span is kept: what is below it is worth a span too."""
    return _on and trace.get_current_span().is_recording()


def dropped() -> bool:
    """Whether the current trace is not kept: a span below it would be for nothing."""
    span = trace.get_current_span()
    return span.get_span_context().is_valid and not span.is_recording()


def pass_on(carrier: dict[str, Any]) -> None:
    """Have a message carry the current trace context as it is."""
    propagate.inject(carrier)


def error_type(error: BaseException) -> str:
    """The code of an error of ours, else the name of its class."""
    return getattr(error, "code", None) or type(error).__qualname__


def fail(span: Span, error: BaseException) -> None:
    """Mark a span as failed. What the error quotes may be somebody's data: no text."""
    span.set_attribute("error.type", error_type(error))
    span.set_status(Status(StatusCode.ERROR))


def parent_of(carrier: Mapping[str, Any]) -> Context:
    """The trace context that a message carries, empty if it carries none."""
    texts = {k: v for k, v in carrier.items() if isinstance(v, str)}
    return propagate.extract(texts, Context()) if texts else Context()


def inject(carrier: dict[str, Any], span: Span) -> None:
    """Have a message carry the trace context of a span."""
    propagate.inject(carrier, trace.set_span_in_context(span))


def traceparent() -> str | None:
    """The current span as the header of that name has it; None without a trace."""
    carrier: dict[str, str] = {}
    if on():
        propagate.inject(carrier)
    return carrier.get("traceparent")


@contextmanager
def continued(parent: str | None) -> Iterator[None]:
    """What runs inside belongs to the trace of ``parent``, a ``traceparent``."""
    if parent is None or not on():
        yield
        return
    token = context.attach(parent_of({"traceparent": parent}))
    try:
        yield
    finally:
        context.detach(token)


def inner_span(
    name: str, kind: SpanKind, attributes: Mapping[str, Any]
) -> AbstractContextManager[object]:
    """A span below the current one, where that is recorded; else nothing."""
    if not recording():
        return NOTHING
    return _failing(tracer.start_span(name, kind=kind, attributes=attributes))


@contextmanager
def _failing(span: Span) -> Iterator[Span]:
    with trace.use_span(
        span,
        end_on_exit=True,
        record_exception=False,
        set_status_on_exception=False,
    ):
        try:
            yield span
        except BaseException as error:
            fail(span, error)
            raise


def shared_span(
    name: str, origins: Sequence[Span], attributes: Mapping[str, Any]
) -> AbstractContextManager[object]:
    """One span for the work of several: below the first of ``origins``, which are all
    kept, linked to the others, and they to it."""
    first, *others = origins
    span = tracer.start_span(
        name,
        trace.set_span_in_context(first, Context()),
        SpanKind.CLIENT,
        attributes,
        links=[Link(other.get_span_context()) for other in others],
    )
    for other in others:
        other.add_link(span.get_span_context())
    return _failing(span)
