"""The OpenTelemetry API and the names for our own spans and metrics.

Until :func:`chassis.telemetry.start_telemetry` has started the SDK in this process,
:func:`is_enabled` is False and nothing here does any work.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

from opentelemetry import context, metrics, propagate, trace
from opentelemetry.context import Context
from opentelemetry.metrics import Histogram
from opentelemetry.trace import Link, Span, SpanKind, Status, StatusCode

from chassis import __version__

SCOPE = "chassis"

tracer = trace.get_tracer(SCOPE, __version__)
meter = metrics.get_meter(SCOPE, __version__)

#: Bucket bounds in seconds: from a call on one machine to the longest deadline.
DURATIONS = (
    *(0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5),
    *(1.0, 2.5, 5.0, 10.0, 30.0),
)

NOTHING: AbstractContextManager[None] = nullcontext()

_is_enabled = False


def is_enabled() -> bool:
    """Whether this process exports telemetry."""
    return _is_enabled


def set_enabled(enabled: bool) -> None:
    """Record whether the SDK runs."""
    global _is_enabled
    _is_enabled = enabled


def histogram(
    name: str,
    description: str,
    *,
    unit: str = "s",
    bounds: Sequence[float] = DURATIONS,
) -> Histogram:
    """A histogram, in seconds unless ``unit`` says otherwise."""
    return meter.create_histogram(
        name,
        unit=unit,
        description=description,
        explicit_bucket_boundaries_advisory=bounds,
    )


def is_dropped() -> bool:
    """Whether the current trace is not kept: a child span would be wasted."""
    span = trace.get_current_span()
    return span.get_span_context().is_valid and not span.is_recording()


def error_type(error: BaseException) -> str:
    """The code of an error of ours, otherwise its class name."""
    return getattr(error, "code", None) or type(error).__qualname__


def fail(span: Span, error: BaseException) -> None:
    """Mark a span as failed. Error texts may quote clients' data, so it adds none."""
    span.set_attribute("error.type", error_type(error))
    span.set_status(Status(StatusCode.ERROR))


def parent_of(carrier: Mapping[str, Any]) -> Context:
    """The trace context that a message carries, or an empty one."""
    texts = {k: v for k, v in carrier.items() if isinstance(v, str)}
    return propagate.extract(texts, Context()) if texts else Context()


def inject(carrier: dict[str, Any], within: Context | None = None) -> None:
    """Add a trace context to a message, by default the current one."""
    propagate.inject(carrier, within)


def traceparent() -> str | None:
    """The current span as a ``traceparent`` header; None without a trace."""
    carrier: dict[str, str] = {}
    if is_enabled():
        propagate.inject(carrier)
    return carrier.get("traceparent")


@contextmanager
def continued(parent: str | None) -> Iterator[None]:
    """The code inside belongs to the trace of ``parent``, a ``traceparent``."""
    if parent is None or not is_enabled():
        yield
        return
    with within(parent_of({"traceparent": parent})):
        yield


@contextmanager
def within(parent: Context) -> Iterator[None]:
    """The code inside belongs to ``parent``, with its baggage."""
    token = context.attach(parent)
    try:
        yield
    finally:
        context.detach(token)


@contextmanager
def shared_span(
    name: str, origins: Sequence[Span], attributes: Mapping[str, Any]
) -> Iterator[Span]:
    """One span for the work of several requests: a child of the first of ``origins``,
    which are all kept. It and the others link to each other."""
    first, *others = origins
    span = tracer.start_span(
        name,
        trace.set_span_in_context(first, Context()),
        SpanKind.INTERNAL,
        attributes,
        links=[Link(other.get_span_context()) for other in others],
    )
    for other in others:
        other.add_link(span.get_span_context())
    with trace.use_span(
        span, end_on_exit=True, record_exception=False, set_status_on_exception=False
    ):
        try:
            yield span
        except BaseException as error:
            fail(span, error)
            raise
