"""What starting telemetry does to a process, with an SDK that exports nothing."""

import atexit
import logging
import os
import threading
import time
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest
from opentelemetry import distro, metrics, trace
from opentelemetry.context import Context
from opentelemetry.instrumentation.logging import handler as otlp_logging
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import Decision, SamplingResult, StaticSampler
from opentelemetry.trace import SpanKind

from chassis import __version__
from chassis.context import current_request_id
from chassis.logs import ACCESS
from chassis.telemetry import start_telemetry, stop_telemetry, tracing

SIGNALS = ("TRACES", "METRICS", "LOGS")
ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"


class Sdk:
    """The providers, and what they were told; itself the provider of loggers."""

    def __init__(self) -> None:
        self.asked: dict[str, Any] = {}
        self.stopped: list[str] = []
        self.lines: list[logging.LogRecord] = []
        self.reader = InMemoryMetricReader()
        self.meters: Any = MeterProvider([self.reader], shutdown_on_exit=False)
        self.tracers: Any = TracerProvider(shutdown_on_exit=False)
        setattr(self.tracers, "shutdown", partial(self.stopped.append, "traces"))
        setattr(self.meters, "shutdown", partial(self.stopped.append, "metrics"))

    def configure(self, **options: Any) -> None:
        self.asked |= options

    def shutdown(self) -> None:
        self.stopped.append("logs")

    def handler(self, *, logger_provider: Any) -> logging.Handler:
        assert logger_provider is self
        lines = self.lines

        class Handler(logging.Handler):
            def emit(self, record: logging.LogRecord) -> None:
                lines.append(record)

        return Handler()


@pytest.fixture
def sdk(monkeypatch: pytest.MonkeyPatch) -> Iterator[Sdk]:
    sdk = Sdk()
    before = {**os.environ}
    for name in [each for each in os.environ if each.startswith("OTEL_")]:
        monkeypatch.delenv(name)
    monkeypatch.setattr(distro, "OpenTelemetryConfigurator", lambda: sdk)
    monkeypatch.setattr(trace, "get_tracer_provider", lambda: sdk.tracers)
    monkeypatch.setattr(metrics, "get_meter_provider", lambda: sdk.meters)
    monkeypatch.setattr(otlp_logging, "get_logger_provider", lambda: sdk, raising=False)
    monkeypatch.setattr(otlp_logging, "LoggingHandler", sdk.handler)
    monkeypatch.setattr(tracing, "meter", sdk.meters.get_meter("test"))
    root = logging.getLogger()
    handlers = {each: each.filters[:] for each in root.handlers}
    yield sdk
    stop_telemetry()
    root.handlers = [*handlers]
    for handler, filters in handlers.items():
        handler.filters = filters
    for name in set(os.environ) - set(before):
        del os.environ[name]


def attributes(sdk: Sdk) -> dict[str, Any]:
    found: dict[str, Any] = sdk.asked["resource_attributes"]
    return found


def test_a_process_says_what_it_is(sdk: Sdk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ENDPOINT, "http://127.0.0.1:9")
    assert start_telemetry("data", "test")
    own = attributes(sdk)
    instance = own.pop("service.instance.id")
    assert own == {
        "service.name": "data",
        "service.namespace": "fastapi-starter",
        "service.version": __version__,
        "deployment.environment": "test",
        "deployment.environment.name": "test",
        "process.pid": os.getpid(),
    }
    assert len(instance) == 36
    # The handler of logs is ours: see below.
    assert sdk.asked["setup_logging_handler"] is False


def test_variables_count_more_than_what_it_says(
    sdk: Sdk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(ENDPOINT, "http://127.0.0.1:9")
    monkeypatch.setenv("OTEL_SERVICE_NAME", "shop")
    given = "service.version=7,service.instance.id=1"
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", given)
    start_telemetry("data", "test")
    own = attributes(sdk)
    assert not {"service.name", "service.version"} & set(own)
    assert own["service.instance.id"] != "1"  # each process is one instance
    assert own["deployment.environment"] == "test"


def test_it_stops_with_all_it_started(
    sdk: Sdk, monkeypatch: pytest.MonkeyPatch
) -> None:
    unregistered: list[Any] = []
    monkeypatch.setattr(atexit, "unregister", unregistered.append)
    monkeypatch.setenv(ENDPOINT, "http://127.0.0.1:9")
    handlers = logging.getLogger().handlers[:]
    assert start_telemetry("data", "test") and tracing.is_enabled()
    assert start_telemetry("data", "test")  # again: nothing happens
    assert len(logging.getLogger().handlers) == len(handlers) + 1
    # At exit each would wait for a collector that is down.
    assert unregistered == [sdk.tracers.shutdown, sdk.meters.shutdown, sdk.shutdown]
    stop_telemetry()
    assert sorted(sdk.stopped) == ["logs", "metrics", "traces"]
    assert not tracing.is_enabled() and logging.getLogger().handlers == handlers
    stop_telemetry()
    assert len(sdk.stopped) == 3


def test_it_does_not_wait_for_a_collector_that_is_down(
    sdk: Sdk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(ENDPOINT, "http://127.0.0.1:9")
    go_on, others = threading.Event(), []
    sdk.tracers.shutdown = lambda: go_on.wait(10)
    sdk.meters.shutdown = lambda: others.append(threading.current_thread().daemon)
    start_telemetry("data", "test")
    began = time.monotonic()
    stop_telemetry(0.2)
    assert 0.2 <= time.monotonic() - began < 2
    assert others == [True] and sdk.stopped == ["logs"]
    go_on.set()


@pytest.mark.parametrize(
    ("variables", "exporters", "exports_logs"),
    [
        ({ENDPOINT: "http://h:9"}, ("otlp", "otlp", "otlp"), True),
        (
            {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://h:9"},
            ("otlp", "none", "none"),
            False,
        ),
        (
            {"OTEL_TRACES_EXPORTER": "console", "OTEL_LOGS_EXPORTER": "none"},
            ("console", "none", "none"),
            False,
        ),
    ],
)
def test_only_what_has_an_endpoint_is_exported(
    sdk: Sdk,
    monkeypatch: pytest.MonkeyPatch,
    variables: dict[str, str],
    exporters: tuple[str, ...],
    exports_logs: bool,
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert start_telemetry("data", "test")
    found = [os.environ[f"OTEL_{each}_EXPORTER"] for each in SIGNALS]
    assert tuple(found) == exporters
    logging.getLogger("app").error("a line")
    assert bool(sdk.lines) is exports_logs


def test_exported_lines_have_their_request_and_are_not_about_the_export(
    sdk: Sdk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(ENDPOINT, "http://127.0.0.1:9")
    start_telemetry("data", "test")
    token = current_request_id.set("r-1")
    for name in ("app", "opentelemetry.sdk", ACCESS):
        logging.getLogger(name).error("a line")
    current_request_id.reset(token)
    (line,) = sdk.lines
    assert (line.name, vars(line)["request_id"]) == ("app", "r-1")


def test_a_collector_that_is_down_does_not_fill_the_log(
    sdk: Sdk, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv(ENDPOINT, "http://127.0.0.1:9")
    start_telemetry("data", "test")
    exporter = logging.getLogger("opentelemetry.exporter.otlp.proto.grpc")
    for _ in range(3):
        exporter.error("Transient error %s", "UNAVAILABLE")
    told = [each for each in caplog.messages if "UNAVAILABLE" in each]
    assert len(told) == 1 and "OpenTelemetry collector" in told[0]


class Inner(StaticSampler):
    """Notes for which parents it is asked."""

    def __init__(self) -> None:
        super().__init__(Decision.RECORD_AND_SAMPLE)
        self.parents: list[Context | None] = []

    def should_sample(
        self, parent_context: Context | None, *more: Any, **options: Any
    ) -> SamplingResult:
        self.parents.append(parent_context)
        return super().should_sample(parent_context, *more, **options)


@pytest.mark.parametrize(
    ("options", "keeps"),
    [
        ({}, True),
        ({"trusts_callers": False}, True),
        ({"is_edge": True}, True),
        ({"is_edge": True, "trusts_callers": False}, False),
    ],
)
def test_an_edge_decides_for_itself_what_to_keep(
    sdk: Sdk, monkeypatch: pytest.MonkeyPatch, options: dict[str, bool], keeps: bool
) -> None:
    monkeypatch.setenv(ENDPOINT, "http://127.0.0.1:9")
    inner = sdk.tracers.sampler = Inner()
    start_telemetry("api", "test", **options)
    carrier = {"traceparent": f"00-{1:032x}-{2:016x}-01"}
    parent = tracing.parent_of(carrier)
    sdk.tracers.sampler.should_sample(parent, 1, "x", SpanKind.SERVER)
    (asked,) = inner.parents
    assert trace.get_current_span(asked).get_span_context().is_valid is keeps


def test_what_a_process_uses_is_reported(
    sdk: Sdk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(ENDPOINT, "http://127.0.0.1:9")
    start_telemetry("data", "test")
    data = sdk.reader.get_metrics_data()
    assert data and "process.cpu.time" in data.to_json()


def test_superfluous_variables_are_removed(
    sdk: Sdk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """OpenTelemetry would complain about an empty one."""
    monkeypatch.setenv(ENDPOINT, "http://127.0.0.1:9")
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "")
    start_telemetry("data", "test")
    assert "OTEL_BSP_SCHEDULE_DELAY" not in os.environ


def test_a_variable_that_cannot_work_ends_the_start(
    sdk: Sdk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(ENDPOINT, "http://127.0.0.1:9")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json")
    with pytest.raises(RuntimeError, match="OTEL_EXPORTER_OTLP_PROTOCOL: must be"):
        start_telemetry("data", "test")
    assert not sdk.asked and not tracing.is_enabled()


@pytest.mark.parametrize(
    "variables",
    [
        {},
        {ENDPOINT: ""},
        {ENDPOINT: "http://h:9", "OTEL_SDK_DISABLED": " True"},
        {"OTEL_TRACES_EXPORTER": "otlp"},
    ],
)
def test_without_an_endpoint_nothing_starts(
    sdk: Sdk, monkeypatch: pytest.MonkeyPatch, variables: dict[str, str]
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert not start_telemetry("data", "test")
    assert not sdk.asked and not tracing.is_enabled()
