"""Which traces are kept."""

import pytest
from opentelemetry.context import Context
from opentelemetry.sdk.trace.sampling import Decision, ParentBased, TraceIdRatioBased
from opentelemetry.trace import (
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    TraceFlags,
    TraceState,
    set_span_in_context,
)

from chassis.telemetry.sampling import ProcessSampler

TRACE = 77


def caller(*, sampled: bool, is_remote: bool = True) -> Context:
    context = SpanContext(TRACE, 1, is_remote, TraceFlags(sampled))
    return set_span_in_context(NonRecordingSpan(context), Context())


def is_kept(
    parent: Context,
    *,
    ratio: float = 1.0,
    is_edge: bool = False,
    kind: SpanKind = SpanKind.SERVER,
) -> bool:
    inner = ParentBased(TraceIdRatioBased(ratio))
    sampler = ProcessSampler(inner, is_edge=is_edge)
    result = sampler.should_sample(parent, TRACE, "x", kind)
    return result.decision is Decision.RECORD_AND_SAMPLE


@pytest.mark.parametrize(
    ("sampled", "ratio", "kept"),
    [(True, 0.0, True), (False, 1.0, True), (False, 0.0, False)],
)
def test_the_edge_decides_for_unsampled_callers(
    sampled: bool, ratio: float, kept: bool
) -> None:
    assert is_kept(caller(sampled=sampled), ratio=ratio, is_edge=True) is kept


@pytest.mark.parametrize("sampled", [True, False])
def test_elsewhere_the_caller_decides(sampled: bool) -> None:
    ratio = 0.0 if sampled else 1.0
    assert is_kept(caller(sampled=sampled), ratio=ratio) is sampled


def test_a_local_parent_decides_at_the_edge() -> None:
    parent = caller(sampled=False, is_remote=False)
    assert not is_kept(parent, is_edge=True, kind=SpanKind.INTERNAL)


@pytest.mark.parametrize("is_edge", [True, False])
def test_a_client_span_needs_a_parent(is_edge: bool) -> None:
    """A health check of the database belongs to no request."""
    kind = SpanKind.CLIENT
    assert not is_kept(Context(), is_edge=is_edge, kind=kind)
    assert is_kept(caller(sampled=True), is_edge=is_edge, kind=kind)


@pytest.mark.parametrize("kind", [SpanKind.SERVER, SpanKind.PRODUCER])
def test_other_spans_may_begin_a_trace(kind: SpanKind) -> None:
    assert is_kept(Context(), kind=kind)
    assert not is_kept(Context(), kind=kind, ratio=0.0)


@pytest.mark.parametrize("ratio", [0.0, 1.0])
@pytest.mark.parametrize("sampled", [True, False])
def test_an_edge_without_trust_decides_alone(sampled: bool, ratio: float) -> None:
    sampler = ProcessSampler(
        ParentBased(TraceIdRatioBased(ratio)), is_edge=True, trusts_callers=False
    )
    result = sampler.should_sample(caller(sampled=sampled), TRACE, "x", SpanKind.SERVER)
    assert (result.decision is Decision.RECORD_AND_SAMPLE) is (ratio == 1.0)


@pytest.mark.parametrize("sampled", [True, False])
@pytest.mark.parametrize("is_edge", [True, False])
def test_the_state_of_the_trace_goes_on(sampled: bool, is_edge: bool) -> None:
    state = TraceState([("vendor", "value")])
    context = SpanContext(TRACE, 1, True, TraceFlags(sampled), state)
    parent = set_span_in_context(NonRecordingSpan(context), Context())
    sampler = ProcessSampler(ParentBased(TraceIdRatioBased(1)), is_edge=is_edge)
    result = sampler.should_sample(parent, TRACE, "x", SpanKind.SERVER)
    assert result.trace_state == state
