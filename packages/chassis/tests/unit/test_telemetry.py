"""Telemetry that is off costs nothing; what is on says who it is and ends in time."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from opentelemetry.context import Context
from opentelemetry.sdk.trace.sampling import Decision, ParentBased, TraceIdRatioBased
from opentelemetry.trace import (
    NonRecordingSpan,
    SpanContext,
    TraceFlags,
    set_span_in_context,
)

from app.core import telemetry
from app.core.sampling import EdgeSampler
from app.core.sql_tracing import summary

BACKEND = Path(__file__).parents[2]

# redis-py takes a look at the SDK's metrics wherever they are installed.
OFF = """
import sys, threading
import main, app.worker
from app.core.telemetry import start_telemetry, stop_telemetry
start_telemetry("api", main.settings)
stop_telemetry()
heavy = ("opentelemetry.sdk.trace", "opentelemetry.exporter", "grpc")
loaded = [m for m in sys.modules if m.startswith(heavy)]
assert not loaded, loaded
assert threading.active_count() == 1, threading.enumerate()
"""

# A port on which nothing listens: 9 is "discard".
DOWN = """
import sys, time
from app.core.config import Settings
from app.core import tracing
from app.core.telemetry import start_telemetry, stop_telemetry
start_telemetry("api", Settings())
assert tracing.on()
for number in range(3000):
    with tracing.tracer.start_as_current_span("x"):
        pass
began = time.monotonic()
stop_telemetry(1.0)
assert time.monotonic() - began < 2, time.monotonic() - began
assert not tracing.on()
"""


def run(code: str, **variables: str) -> float:
    """Run code in a process of its own; how long that took, from start to end."""
    env = {k: v for k, v in os.environ.items() if not k.startswith("OTEL_")}
    began = time.monotonic()
    subprocess.run(
        [sys.executable, "-c", code],
        cwd=BACKEND,
        env={**env, "PYTHONPATH": str(BACKEND), **variables},
        check=True,
        timeout=60,
    )
    return time.monotonic() - began


def test_without_an_endpoint_no_sdk_is_imported() -> None:
    run(OFF)


@pytest.mark.parametrize("protocol", ["grpc", "http/protobuf"])
def test_a_collector_that_is_down_does_not_hold_up_the_end(protocol: str) -> None:
    seconds = run(
        DOWN,
        OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:9",
        OTEL_EXPORTER_OTLP_PROTOCOL=protocol,
    )
    assert seconds < 15


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": ""}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4317"}, True),
        ({"OTEL_EXPORTER_OTLP_LOGS_ENDPOINT": "http://c:4317"}, True),
        (
            {
                "OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4317",
                "OTEL_SDK_DISABLED": "true",
            },
            False,
        ),
        (
            {
                "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://c:4317",
                "OTEL_TRACES_EXPORTER": "none",
            },
            False,
        ),
    ],
)
def test_the_standard_variables_decide(
    variables: dict[str, str], expected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [n for n in os.environ if n.startswith("OTEL_")]:
        monkeypatch.delenv(name)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert telemetry.wanted() is expected


def test_the_environment_names_the_service(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OTEL_SERVICE_NAME", raising=False)
    assert telemetry._resource("api", "test").attributes["service.name"] == "api"
    monkeypatch.setenv("OTEL_SERVICE_NAME", "shop")
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment=blue")
    attributes = telemetry._resource("api", "test").attributes
    assert attributes["service.name"] == "shop"
    assert attributes["deployment.environment"] == "blue"
    assert attributes["deployment.environment.name"] == "test"


def remote(flags: int, trace_id: int) -> Context:
    context = SpanContext(trace_id, 1, True, TraceFlags(flags))
    return set_span_in_context(NonRecordingSpan(context), Context())


@pytest.mark.parametrize(
    ("flags", "ratio", "kept"), [(1, 0.0, True), (0, 1.0, True), (0, 0.0, False)]
)
def test_the_edge_decides_what_a_caller_left_open(
    flags: int, ratio: float, kept: bool
) -> None:
    sampler = EdgeSampler(ParentBased(TraceIdRatioBased(ratio)))
    result = sampler.should_sample(remote(flags, 77), 77, "x")
    assert (result.decision is Decision.RECORD_AND_SAMPLE) is kept


@pytest.mark.parametrize(
    ("statement", "name"),
    [
        ("SELECT a FROM records WHERE x = $1", "SELECT records"),
        ("INSERT INTO task_logs (a) VALUES ($1)", "INSERT task_logs"),
        ("UPDATE records SET a = 1", "UPDATE records"),
        ("WITH w0 AS (INSERT INTO records (a) SELECT 1) SELECT 1", "INSERT records"),
        ("SELECT 1", "SELECT"),
        ("COMMIT", "COMMIT"),
    ],
)
def test_statements_are_named_by_what_they_do(statement: str, name: str) -> None:
    assert summary(statement)[1] == name
