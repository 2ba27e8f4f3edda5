"""Which traces are kept: OTEL_TRACES_SAMPLER decides, after two rules of ours."""

from collections.abc import Sequence

from opentelemetry.context import Context
from opentelemetry.sdk.trace.sampling import Decision, Sampler, SamplingResult
from opentelemetry.trace import Link, SpanKind, TraceState, get_current_span
from opentelemetry.util.types import Attributes


class ProcessSampler(Sampler):
    """The configured sampler, with two rules of ours before it.

    * A client span without a parent is dropped: health checks, polling and shared
      connections belong to no request.
    * At the edge (``is_edge``: untrusted clients call this process) an unsampled trace
      of a caller is decided anew. nginx gives every request a trace id but no decision,
      as it does not know the sampling rate. An edge that does not trust its callers
      decides every trace anew: a stranger could make it keep all.
    """

    def __init__(
        self, inner: Sampler, *, is_edge: bool, trusts_callers: bool = True
    ) -> None:
        self._inner = inner
        self._is_edge = is_edge
        self._trusts_callers = trusts_callers

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
        """As the inner sampler, but keeps the caller's trace id."""
        caller = get_current_span(parent_context).get_span_context()
        if kind is SpanKind.CLIENT and not caller.is_valid:
            return SamplingResult(Decision.DROP)
        arguments = (trace_id, name, kind, attributes, links, trace_state)
        if not (self._is_edge and caller.is_remote):
            return self._inner.should_sample(parent_context, *arguments)
        if caller.trace_flags.sampled and self._trusts_callers:
            return self._inner.should_sample(parent_context, *arguments)
        anew = self._inner.should_sample(Context(), *arguments)
        # The caller's tracestate goes on, whoever decides.
        return SamplingResult(anew.decision, anew.attributes, caller.trace_state)

    def get_description(self) -> str:
        """For people."""
        return f"Process({self._inner.get_description()})"
