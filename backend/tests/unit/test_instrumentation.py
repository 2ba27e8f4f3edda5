"""Instrumentations of libraries: they start, and leave nothing behind."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from celery import Celery
from kombu.exceptions import OperationalError
from opentelemetry import trace
from opentelemetry.instrumentation.celery import CeleryInstrumentor
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.util.http import parse_excluded_urls

from app.infrastructure.celery_publishing import TidyCelery
from app.infrastructure.instrumentation import UNTRACED_URLS

BACKEND = Path(__file__).parents[2]

# An instrumentation that does not support its library's version only logs that.
START = """
import importlib
from app.infrastructure.instrumentation import instrument_clients
instrument_clients()
for name, kind in {
    "asyncpg": "AsyncPG", "celery": "Celery", "psycopg2": "Psycopg2", "redis": "Redis"
}.items():
    module = importlib.import_module(f"opentelemetry.instrumentation.{name}")
    instrumentor = getattr(module, f"{kind}Instrumentor")()
    assert instrumentor.is_instrumented_by_opentelemetry, name
"""


def test_every_instrumentation_supports_the_installed_library() -> None:
    command = [sys.executable, "-c", START]
    run = subprocess.run(command, cwd=BACKEND, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr


@pytest.fixture
def spans() -> Iterator[InMemorySpanExporter]:
    """The ended spans of Celery."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    instrumentor: Any = CeleryInstrumentor
    instrumentor().instrument(tracer_provider=provider)
    yield exporter
    instrumentor().uninstrument()


def work() -> None:
    """A task that never runs."""


def celery(broker: str) -> Celery:
    app = TidyCelery("test", broker=broker, set_as_current=True)
    app.conf.broker_transport_options = {"max_retries": 0, "socket_connect_timeout": 1}
    app.task(name="work")(work)
    app.finalize()
    return app


def test_a_publish_is_one_span(spans: InMemorySpanExporter) -> None:
    with celery("memory://") as app:
        app.send_task("work", ignore_result=True)
    assert [span.name for span in spans.get_finished_spans()] == ["apply_async/work"]


def test_a_publish_that_fails_leaves_no_span_behind(
    spans: InMemorySpanExporter,
) -> None:
    with celery("redis://127.0.0.1:9/0") as app:
        for _ in range(2):
            with pytest.raises(OperationalError):
                app.send_task("work", ignore_result=True, retry=False)
    assert not trace.get_current_span().get_span_context().is_valid
    first, second = spans.get_finished_spans()
    assert first.parent is None and second.parent is None


@pytest.mark.parametrize(
    ("path", "has_span"),
    [
        # Probes come all the time.
        *(("/health", False), ("/health/live", False), ("/health/ready", False)),
        # A stream lasts for hours: it would hide how long requests take.
        *(("/api/v1/events/stream", False), ("/api/v1/events/ws", False)),
        *(("/api/v1/events", True), ("/api/v1/webhooks", True)),
        *(("/api/v1/data/process", True), ("/api/v1/database/records", True)),
    ],
)
def test_all_but_probes_and_streams_have_spans(path: str, has_span: bool) -> None:
    excluded = parse_excluded_urls(UNTRACED_URLS)
    assert excluded.url_disabled(f"http://api:8000{path}") is not has_span
