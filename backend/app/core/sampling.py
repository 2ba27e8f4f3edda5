"""Which traces are kept: OTEL_TRACES_SAMPLER decides, and where it is asked."""

from collections.abc import Sequence

from opentelemetry.context import Context
from opentelemetry.sdk.trace.sampling import Sampler, SamplingResult
from opentelemetry.trace import Link, SpanKind, TraceState, get_current_span
from opentelemetry.util.types import Attributes


class EdgeSampler(Sampler):
    """Decides as for a new trace where a caller from outside has left one unsampled.

    nginx gives every request a trace id and, as it cannot know the rate, no decision.
    """

    def __init__(self, inner: Sampler) -> None:
        self._inner = inner

    def should_sample(
        self,
        parent_context: Context | None,
        trace_id: int,
        name: str,
        kind: SpanKind | None = None,
        attributes: Attributes = None,
        links: Sequence[Link] | None = None,
        trace_state: TraceState | None = None,
    ) -> SamplingResult:
        """As the inner sampler; the trace id stays the caller's."""
        caller = get_current_span(parent_context).get_span_context()
        if caller.is_remote and not caller.trace_flags.sampled:
            parent_context = Context()
        return self._inner.should_sample(
            parent_context, trace_id, name, kind, attributes, links, trace_state
        )

    def get_description(self) -> str:
        """For people."""
        return f"Edge({self._inner.get_description()})"
