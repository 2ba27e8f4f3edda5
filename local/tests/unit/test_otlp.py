"""The receiver with both protocols, and the trees drawn from what it receives."""

import urllib.request
from dataclasses import replace
from pathlib import Path

import pytest
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import (
    OTLPSpanExporter as GrpcExporter,
)
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.trace_exporter import (
    OTLPSpanExporter as HttpExporter,
)
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, KeyValue
from opentelemetry.proto.metrics.v1.metrics_pb2 import (
    Metric,
    NumberDataPoint,
    ResourceMetrics,
    ScopeMetrics,
    Sum,
)
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter
from opentelemetry.trace import SpanKind

from local import traces
from local.otlp.model import Span, attributes, metrics
from local.otlp.receiver import Receiver
from local.otlp.tree import draw, last_traces


def make_span(
    number: int, parent: int = 0, trace: str = "aa", failed: bool = False
) -> Span:
    ids = {"id": f"{number:016x}", "parent": f"{parent:016x}" if parent else ""}
    milliseconds = 1_000_000
    return Span(
        trace=trace,
        **ids,
        name=f"span {number}",
        kind="INTERNAL",
        service="api",
        instance="1",
        start=number * milliseconds,
        end=(10 - number) * milliseconds,
        failed=failed,
        attributes={"http.response.status_code": 200} if number == 1 else {},
        links=[],
    )


@pytest.mark.parametrize("protocol", ["grpc", "http", "gzip"])
def test_spans_arrive_unchanged(protocol: str) -> None:
    with Receiver() as receiver:
        exporter: SpanExporter = GrpcExporter(endpoint=receiver.grpc_url)
        if protocol != "grpc":
            exporter = HttpExporter(
                endpoint=f"{receiver.http_url}/v1/traces",
                compression=Compression.Gzip if protocol == "gzip" else None,
            )
        provider = TracerProvider(resource=Resource({"service.name": "test"}))
        provider.add_span_processor(SimpleSpanProcessor(exporter))
        tracer = provider.get_tracer("test")
        with tracer.start_as_current_span("outer", kind=SpanKind.SERVER) as outer:
            with tracer.start_as_current_span("inner", attributes={"a": [1, "x"]}):
                pass
        provider.shutdown()
        spans = receiver.trace(f"{outer.get_span_context().trace_id:032x}")
    assert [span.name for span in spans] == ["outer", "inner"]
    assert spans[1].parent == spans[0].id
    assert (spans[0].parent, spans[0].kind) == ("", "SERVER")
    assert spans[0].service == "test"
    assert spans[1].attributes == {"a": [1, "x"]}


def test_spans_are_served_over_http_one_per_line() -> None:
    with Receiver() as receiver:
        receiver.spans.extend([make_span(1), make_span(2, 1)])
        with urllib.request.urlopen(f"{receiver.http_url}/spans") as answer:
            lines = answer.read().decode().splitlines()
    assert [Span.from_json(line) for line in lines] == [make_span(1), make_span(2, 1)]


def test_a_tree_shows_depth_time_and_failure() -> None:
    text = draw([make_span(2, 1, failed=True), make_span(1)], colours=False)
    assert text.splitlines() == [
        "trace aa  8.0 ms",
        "  ━━━━━━━━━━━━━━━━━━━━━━━━       8.0 ms  api: span 1  status_code=200",
        "  ···━━━━━━━━━━━━━━━━━━···       6.0 ms    api: span 2  FAILED",
    ]


def test_a_tree_shows_how_long_a_call_waited() -> None:
    span = replace(make_span(1), attributes={"app.rpc.queue_time": 0.0123})
    assert draw([span], colours=False).endswith("queue_time=12.3ms")


def test_a_span_whose_parent_is_missing_is_a_root() -> None:
    assert "  api: span 2" in draw([make_span(2, 1)], colours=False)


def test_the_last_traces_are_those_that_began_last() -> None:
    spans = [make_span(n, trace=str(n)) for n in (3, 1, 2)]
    assert [t[0].trace for t in last_traces(spans, 2)] == ["2", "3"]


def test_traces_prints_the_receivers_spans(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert traces.show([], tmp_path) == 1
    assert "--traces" in capsys.readouterr().err
    with Receiver() as receiver:
        (tmp_path / traces.URL_FILE).write_text(f"{receiver.http_url}/spans")
        assert traces.show([], tmp_path) == 0
        assert "No traces yet" in capsys.readouterr().out
        receiver.spans.append(make_span(1))
        assert traces.show(["3"], tmp_path) == 0
    assert "api: span 1" in capsys.readouterr().out


def test_attributes_without_a_value_and_lists_are_read() -> None:
    one = AnyValue(string_value="a")
    many = AnyValue(array_value=ArrayValue(values=[one, AnyValue(int_value=2)]))
    pairs = {"none": AnyValue(), "one": one, "many": many}
    found = attributes(KeyValue(key=key, value=value) for key, value in pairs.items())
    assert found == {"none": None, "one": "a", "many": ["a", 2]}


def test_each_metric_has_its_own_points() -> None:
    points = [NumberDataPoint(as_int=number) for number in (1, 2)]
    sent = [Metric(name=f"m{p.as_int}", sum=Sum(data_points=[p])) for p in points]
    scope = ResourceMetrics(scope_metrics=[ScopeMetrics(metrics=sent)])
    request = ExportMetricsServiceRequest(resource_metrics=[scope])
    found = {m.name: [p["asInt"] for p in m.points] for m in metrics(request)}
    assert found == {"m1": ["1"], "m2": ["2"]}
