"""A span and a duration for each call, by the conventions for messaging.

The span begins when the caller hands the request in and lasts until it has the answer,
the receiver's `process` span is its child. The I/O thread knows nothing of it.
"""

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Any

from opentelemetry import trace
from opentelemetry.metrics import Observation
from opentelemetry.trace import Span, SpanKind

from app.core import tracing
from app.core.exceptions import Refused
from app.core.histograms import Histogram
from app.infrastructure.rpc import wire

_durations = Histogram(
    "rpc.client.call.duration",
    unit="s",
    description="Duration of a call to a service, from request to answer.",
    bounds=tracing.DURATIONS,
)


def watch_calls(count: Callable[[], int], system: str) -> None:
    """Report the calls that wait for their answer, with each export."""
    attributes = {"messaging.system": system}
    tracing.meter.create_observable_up_down_counter(
        "rpc.client.active_calls",
        [lambda _: [Observation(count(), attributes)]],
        unit="{call}",
        description="Calls that wait for their answer.",
    )


def traced_call(
    system: str,
    queue: str,
    call_id: str,
    timeout: float,
    size: int,
    headers: dict[str, Any],
) -> AbstractContextManager[object]:
    """A span around one call; ``headers`` of the request get its context."""
    if not tracing.on():
        return tracing.NOTHING
    return _TracedCall(system, queue, call_id, timeout, size, headers)


class _TracedCall:
    """Not a generator: this is on the path of every request."""

    __slots__ = ("_attributes", "_began", "_span")

    def __init__(
        self,
        system: str,
        queue: str,
        call_id: str,
        timeout: float,
        size: int,
        headers: dict[str, Any],
    ) -> None:
        self._began = time.perf_counter()
        self._attributes: dict[str, Any] = {
            "messaging.system": system,
            "messaging.destination.name": queue,
        }
        if tracing.dropped():
            tracing.pass_on(headers)
            self._span: Span = trace.INVALID_SPAN
            return
        self._span = tracing.tracer.start_span(
            f"publish {queue}",
            kind=SpanKind.PRODUCER,
            attributes={
                **self._attributes,
                "messaging.operation.name": "publish",
                "messaging.operation.type": "send",
                "messaging.message.conversation_id": call_id,
                "messaging.message.body.size": size,
                "app.request_id": headers[wire.REQUEST_ID],
                "app.task_id": headers[wire.TASK_ID],
                "app.rpc.timeout": timeout,
            },
        )
        tracing.inject(headers, self._span)

    def __enter__(self) -> None:
        """The span has begun; it is nobody's parent here."""

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        attributes = self._attributes
        if isinstance(error, Refused):  # an answer like any other to the client's data
            self._span.set_attribute("error.type", error.code)
        elif error is not None:
            tracing.fail(self._span, error)
        if error is not None:
            attributes = {**attributes, "error.type": tracing.error_type(error)}
        _durations.record(time.perf_counter() - self._began, attributes)
        self._span.end()
