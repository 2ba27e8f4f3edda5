"""Spans and metrics of libraries, by OpenTelemetry's instrumentations of them.

To be called where telemetry has started: they are imported only then. Calls to
services and group commit, which no library knows, have spans of our own.
"""

import os
from typing import TYPE_CHECKING, Any

from opentelemetry.metrics import (
    Histogram,
    Meter,
    MeterProvider,
    NoOpMeter,
    NoOpUpDownCounter,
    Observation,
    UpDownCounter,
    get_meter_provider,
)

from chassis.telemetry import tracing

if TYPE_CHECKING:
    from fastapi import FastAPI
    from httpx2 import AsyncClient

# Probes come often and say little.
UNTRACED_URLS = "/health"


def instrument_clients() -> None:
    """Trace what this process asks of PostgreSQL, Redis and Celery."""
    # The names of today's conventions; the old ones are still their default.
    os.environ.setdefault("OTEL_SEMCONV_STABILITY_OPT_IN", "http,database")

    from opentelemetry.instrumentation.asyncpg import AsyncPGInstrumentor
    from opentelemetry.instrumentation.celery import CeleryInstrumentor
    from opentelemetry.instrumentation.psycopg2 import Psycopg2Instrumentor
    from opentelemetry.instrumentation.redis import RedisInstrumentor

    instrumentors: tuple[Any, ...] = (
        *(AsyncPGInstrumentor, Psycopg2Instrumentor),
        *(RedisInstrumentor, CeleryInstrumentor),
    )
    for instrumentor in instrumentors:
        instrumentor().instrument()


def instrument_api(app: "FastAPI") -> None:
    """Trace the requests that ``app`` serves, and what it asks of others."""
    instrument_clients()

    from opentelemetry.instrumentation.fastapi import FastAPIInstrumentor

    FastAPIInstrumentor.instrument_app(
        app,
        meter_provider=HttpMeters(),
        excluded_urls=UNTRACED_URLS,
        exclude_spans=["receive", "send"],
    )
    # It runs already: its lifespan is what starts telemetry.
    app.middleware_stack = app.build_middleware_stack()


def instrument_http_client(client: "AsyncClient") -> None:
    """Trace its requests, where telemetry is on, and have them carry the trace on."""
    if tracing.is_enabled():
        from opentelemetry.instrumentation.httpx import HTTPX2ClientInstrumentor

        instrumentor: Any = HTTPX2ClientInstrumentor  # its types know httpx alone
        instrumentor.instrument_client(client)


class HttpMeters(MeterProvider):
    """Hands out meters for duration and number of requests, at less cost a request.

    The sizes of bodies are left out: no chart shows them, and they cost 5% of the rate
    of requests. The requests in flight are counted in a plain number, read at each
    export: as a counter of the SDK they would cost another 4%.
    """

    def get_meter(self, name: str, *args: Any, **kwargs: Any) -> Meter:
        """A meter that records what is wanted, and nothing else."""
        recording = get_meter_provider().get_meter(name, *args, **kwargs)
        return _HttpMeter(name, recording)


class _HttpMeter(NoOpMeter):
    def __init__(self, name: str, recording: Meter) -> None:
        super().__init__(name)
        self._recording = recording

    def create_histogram(self, name: str, *args: Any, **kwargs: Any) -> Histogram:
        if name.endswith(".body.size"):
            return super().create_histogram(name, *args, **kwargs)
        return self._recording.create_histogram(name, *args, **kwargs)

    def create_up_down_counter(
        self, name: str, *args: Any, **kwargs: Any
    ) -> UpDownCounter:
        total = _Sum(name)
        self._recording.create_observable_up_down_counter(
            name, [lambda _: [Observation(total.value)]], *args, **kwargs
        )
        return total


class _Sum(NoOpUpDownCounter):
    """All that was added, whatever its attributes; of one thread."""

    value: float = 0

    def add(self, amount: float, *_: Any, **__: Any) -> None:
        """Called with 1 as a request begins, and with -1 as it ends."""
        self.value += amount
