"""Telemetry that is off costs nothing; when on, it identifies the process and stops in
time."""

import asyncio
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from opentelemetry import context

from chassis.events import publish_tracing
from chassis.telemetry import tracing
from chassis.telemetry.process import watched_loop

CHASSIS = Path(__file__).parents[2]

OFF = """
import sys, threading
import chassis.service
from chassis.telemetry import start_telemetry, stop_telemetry
assert start_telemetry("data", "test") is False
stop_telemetry()
heavy = ("opentelemetry.sdk", "opentelemetry.exporter", "opentelemetry.distro", "grpc")
heavy += ("psycopg2",)  # for handlers of events that take a cursor
loaded = [m for m in sys.modules if m.startswith(heavy)]
assert not loaded, loaded
assert threading.active_count() == 1, threading.enumerate()
"""

# A port on which nothing listens: 9 is "discard".
DOWN = """
import sys, time
from chassis.telemetry import start_telemetry, stop_telemetry, tracing
assert start_telemetry("api", "test")
assert start_telemetry("api", "test")  # again: nothing happens
assert tracing.is_enabled()
for number in range(3000):
    with tracing.tracer.start_as_current_span("x"):
        pass
began = time.monotonic()
stop_telemetry(1.0)
assert time.monotonic() - began < 2, time.monotonic() - began
assert not tracing.is_enabled()
stop_telemetry()
"""

RESOURCE = """
import json
from opentelemetry import trace
from chassis.telemetry import start_telemetry, stop_telemetry
start_telemetry("api", "test")
print(json.dumps(dict(trace.get_tracer_provider().resource.attributes)))
stop_telemetry(0.1)
"""


def run(code: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run code in a separate process."""
    env = {k: v for k, v in os.environ.items() if not k.startswith("OTEL_")}
    return subprocess.run(
        [sys.executable, "-c", code],
        cwd=CHASSIS,
        env={**env, **variables},
        capture_output=True,
        text=True,
        timeout=60,
    )


def started(**variables: str) -> bool:
    code = "from chassis.telemetry import *; print(start_telemetry('x', 'test'))"
    result = run(f"{code}; stop_telemetry(0.1)", **variables)
    assert result.returncode == 0, result.stderr
    return result.stdout == "True\n"


@pytest.mark.promise("ARCHITECTURE.md", "unset, telemetry costs nothing")
def test_without_an_endpoint_no_sdk_is_imported() -> None:
    result = run(OFF)
    assert result.returncode == 0, result.stderr


@pytest.mark.promise(
    "SEQUENCE-DIAGRAMS.md", "If the collector is down, nothing blocks."
)
@pytest.mark.parametrize("protocol", ["grpc", "http/protobuf"])
def test_an_unreachable_collector_does_not_delay_the_exit(protocol: str) -> None:
    began = time.monotonic()
    result = run(
        DOWN,
        OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:9",
        OTEL_EXPORTER_OTLP_PROTOCOL=protocol,
    )
    assert result.returncode == 0, result.stderr
    assert time.monotonic() - began < 15
    assert "shutdown can only be called once" not in result.stderr


@pytest.mark.parametrize("name", ["PROTOCOL", "TRACES_PROTOCOL"])
def test_an_unknown_protocol_ends_the_process(name: str) -> None:
    endpoint = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"}
    result = run(DOWN, **endpoint, **{f"OTEL_EXPORTER_OTLP_{name}": "http/json"})
    assert result.returncode == 1
    assert f"OTEL_EXPORTER_OTLP_{name}: must be grpc or http/protobuf" in result.stderr


def test_unknown_propagators_end_the_process_at_import() -> None:
    result = run("import chassis", OTEL_PROPAGATORS="foo")
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr.startswith("OTEL_PROPAGATORS: must be one of ")


def test_empty_variables_are_unset() -> None:
    result = run(
        RESOURCE,
        OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:9",
        OTEL_EXPORTER_OTLP_COMPRESSION="none",
        OTEL_EXPORTER_OTLP_TIMEOUT="",
        OTEL_BSP_SCHEDULE_DELAY="",
        OTEL_ATTRIBUTE_COUNT_LIMIT="",
    )
    assert result.returncode == 0, result.stderr
    assert "Invalid" not in result.stderr


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": ""}, False),
        ({"OTEL_TRACES_EXPORTER": "console"}, True),
        ({"OTEL_EXPORTER_OTLP_LOGS_ENDPOINT": "http://127.0.0.1:9"}, True),
        (
            {
                "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9",
                "OTEL_SDK_DISABLED": "true",
            },
            False,
        ),
        (
            {
                "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://127.0.0.1:9",
                "OTEL_TRACES_EXPORTER": "none",
            },
            False,
        ),
    ],
)
def test_the_standard_variables_decide(
    variables: dict[str, str], expected: bool
) -> None:
    assert started(**variables) is expected


def test_a_process_identifies_itself() -> None:
    result = run(RESOURCE, OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:9")
    attributes = json.loads(result.stdout)
    assert attributes["service.name"] == "api"
    assert attributes["service.namespace"] == "fastapi-starter"
    assert attributes["deployment.environment.name"] == "test"
    assert attributes["service.instance.id"]


def test_the_environment_overrides_attributes() -> None:
    result = run(
        RESOURCE,
        OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:9",
        OTEL_SERVICE_NAME="shop",
        OTEL_RESOURCE_ATTRIBUTES="deployment.environment=blue,service.instance.id=1",
    )
    attributes = json.loads(result.stdout)
    assert attributes["service.name"] == "shop"
    assert attributes["deployment.environment"] == "blue"
    assert attributes["deployment.environment.name"] == "test"
    assert attributes["service.instance.id"] != "1"  # each process is one instance


async def test_the_watch_of_a_loop_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracing, "is_enabled", lambda: True)
    before = asyncio.all_tasks()
    async with watched_loop():
        assert len(asyncio.all_tasks() - before) == 1
    assert asyncio.all_tasks() == before


def test_what_comes_after_a_trace_does_not_belong_to_it() -> None:
    before = context.get_current()
    with tracing.within(context.set_value("baggage", 1)):
        assert context.get_value("baggage") == 1
    assert context.get_current() == before


def test_published_events_are_counted_by_type(monkeypatch: pytest.MonkeyPatch) -> None:
    counted: list[object] = []
    counter = SimpleNamespace(add=lambda *values: counted.append(values))
    monkeypatch.setattr(publish_tracing, "_published", counter)
    publish_tracing.count_published(["a.b", "c.d", "a.b"])
    assert counted == [(2, {"app.event.type": "a.b"}), (1, {"app.event.type": "c.d"})]
