"""The telemetry of processes, received by the tests' own collector."""

import base64
import json
import signal
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from local.otlp.receiver import Receiver
from tests.integration.caller import Caller
from tests.integration.conftest import Start

TRACE = "0af7651916cd43dd8448eb211c80319c"
SPAN = "b7ad6b7169203331"
PROTOCOLS = ["grpc", "http/protobuf"]


@pytest.fixture
def collector() -> Iterator[Receiver]:
    with Receiver() as receiver:
        yield receiver


def exporting(collector: Receiver, protocol: str) -> dict[str, str]:
    url = collector.grpc_url if protocol == "grpc" else collector.http_url
    return {
        "OTEL_EXPORTER_OTLP_ENDPOINT": url,
        "OTEL_EXPORTER_OTLP_PROTOCOL": protocol,
        "OTEL_METRIC_EXPORT_INTERVAL": "60000",  # only at the end
    }


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_service_that_calls_another_is_one_trace(
    start: Start,
    connect: Callable[[], Caller],
    collector: Receiver,
    queue: str,
    protocol: str,
) -> None:
    other = f"{queue}_other"
    env = exporting(collector, protocol)
    first = start(**env, SERVICE_NAME="first")
    second = start(**env, SERVICE_NAME="second", QUEUE_NAME=other)
    request = {"do": "call", "queue": other, "payload": "hello"}
    headers = {"traceparent": f"00-{TRACE}-{SPAN}-01", "x-principal": "alice"}
    reply = connect().call(request, headers=headers)
    assert reply.body["returned"]["output"] == "hello"
    for process in (first, second):
        process.signal(signal.SIGTERM)
        assert process.wait() == 0

    spans = {span.name: span for span in collector.trace(TRACE)}
    outer, call, inner = (
        spans[f"process {queue}"],
        spans[f"publish {other}"],
        spans[f"process {other}"],
    )
    assert len(spans) == 3
    assert {span.attributes["enduser.id"] for span in spans.values()} == {"alice"}
    assert (outer.parent, call.parent, inner.parent) == (SPAN, outer.id, call.id)
    assert [span.kind for span in (outer, call, inner)] == [
        *("CONSUMER", "PRODUCER", "CONSUMER"),
    ]
    assert [span.service for span in (outer, call, inner)] == [
        *("first", "first", "second"),
    ]
    assert not any(span.failed for span in spans.values())
    assert outer.attributes["app.rpc.queue_time"] >= 0
    lines = [json.loads(line) for line in first.log.splitlines()]
    (served,) = [line for line in lines if "Served a request" in line["message"]]
    assert served["enduser.id"] == "alice"
    assert (served["trace_id"], served["span_id"]) == (TRACE, outer.id)

    assert exemplars(collector, "rpc.client.call.duration") == {(TRACE, call.id)}
    processed = exemplars(collector, "messaging.process.duration")
    assert processed == {(TRACE, outer.id), (TRACE, inner.id)}
    assert exemplars(collector, "app.rpc.queue.duration") == processed
    names = {metric.name for metric in collector.metrics}
    assert {"process.cpu.time", "process.memory.usage"} <= names
    assert "rpc.client.active_calls" in names


def test_state_and_baggage_of_a_trace_arrive(
    start: Start,
    connect: Callable[[], Caller],
    collector: Receiver,
    queue: str,
) -> None:
    """Whether it is sampled or not."""
    other = f"{queue}_other"
    env = exporting(collector, "grpc")
    start(**env)
    start(**env, QUEUE_NAME=other)
    request = {"do": "call", "queue": other, "payload": {"do": "show_trace"}}
    caller = connect()
    for flags in ("00", "01"):
        headers = {
            "traceparent": f"00-{TRACE}-{SPAN}-{flags}",
            "tracestate": "vendor=value,other=1",
            "baggage": "tenant=blue,plan=a%20b",
        }
        reply = caller.call(request, headers=headers)
        assert reply.body["returned"]["returned"] == {
            "baggage": {"tenant": "blue", "plan": "a b"},
            "tracestate": {"vendor": "value", "other": "1"},
        }


def exemplars(collector: Receiver, metric: str) -> set[tuple[str, str]]:
    """Trace id and span id of each exemplar."""
    found = [
        exemplar
        for each in collector.metrics
        if each.name == metric
        for point in each.points
        for exemplar in point.get("exemplars", [])
    ]
    return {(as_hex(x["traceId"]), as_hex(x["spanId"])) for x in found}


def as_hex(text: str) -> str:
    return base64.b64decode(text).hex()


def test_unsampled_calls_cost_no_span_and_no_exemplar(
    start: Start, connect: Callable[[], Caller], collector: Receiver, queue: str
) -> None:
    other = f"{queue}_other"
    env = exporting(collector, "grpc")
    first, second = start(**env), start(**env, QUEUE_NAME=other)
    request = {"do": "call", "queue": other, "payload": {"do": "fail"}}
    headers = {"traceparent": f"00-{TRACE}-{SPAN}-00"}
    assert connect().call(request, headers=headers).status == "error"
    for process in (first, second):
        process.signal(signal.SIGTERM)
        assert process.wait() == 0
    assert not collector.spans
    assert not exemplars(collector, "messaging.process.duration")
    calls = [m for m in collector.metrics if m.name == "rpc.client.call.duration"]
    assert calls  # the metric counts it
    # Logs know the trace, even if it is not kept.
    failures = [log for log in collector.logs if "The service failed" in log.body]
    assert {log.trace for log in failures} == {TRACE}


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_logs_name_their_trace(
    start: Start, connect: Callable[[], Caller], collector: Receiver, protocol: str
) -> None:
    process = start(**exporting(collector, protocol), SERVICE_NAME="logged")
    headers = {
        "traceparent": f"00-{TRACE}-{SPAN}-01",
        "x-request-id": "r-1",
        "x-task-id": "t-1",
    }
    reply = connect().call({"do": "fail"}, headers=headers)
    assert reply.body["code"] == "internal_error"
    process.signal(signal.SIGTERM)
    assert process.wait() == 0
    failures = [log for log in collector.logs if "The service failed" in log.body]
    assert len(failures) == 3
    for log in failures:
        assert (log.service, log.severity, log.trace) == ("logged", "ERROR", TRACE)
        assert log.attributes["request_id"] == "r-1"
        assert log.attributes["task_id"] == "t-1"
        assert "told to fail" in log.attributes["exception.stacktrace"]
    spans = {span.id: span for span in collector.trace(TRACE)}
    assert len(spans) == 3
    assert {log.span for log in failures} == set(spans)
    assert all(span.failed for span in spans.values())
    bodies = {log.body for log in collector.logs}
    assert not any("Served" in str(body) for body in bodies)  # the span says this
    (dead,) = [m for m in collector.metrics if m.name == "app.rpc.dead_letters"]
    assert dead.points[0]["attributes"]["error.type"] == "internal_error"


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_hanging_collector_does_not_delay_the_exit(
    start: Start,
    connect: Callable[[], Caller],
    collector: Receiver,
    protocol: str,
) -> None:
    with collector.hanging():
        process = start(**exporting(collector, protocol))
        caller = connect()
        headers: dict[str, Any] = {"traceparent": f"00-{TRACE}-{SPAN}-01"}
        for _ in range(100):
            caller.call("x", headers=headers)
        began = time.monotonic()
        process.signal(signal.SIGTERM)
        assert process.wait() == 0
        assert time.monotonic() - began < 5  # 3 s for telemetry
        assert "shutdown can only be called once" not in process.log
