"""Spans and metrics of libraries, from OpenTelemetry's instrumentations.

Call these functions after telemetry has started: they import the instrumentations.
Calls to services and group commit have spans of our own, because no library knows them.
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

# Probes are frequent and say little. Streams last for hours: their span would come at
# their end, and their duration would hide those of requests.
UNTRACED_URLS = "/health,/api/v1/events/(stream|ws)"


def instrument_clients() -> None:
    """Trace the calls of this process to PostgreSQL, Redis and Celery."""
    # Use the current semantic conventions; the old names are still the default.
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
    """Trace the requests that ``app`` serves, and its calls to others."""
    instrument_clients()

    from opentelemetry.instrumentation.fastapi import FastAPIInstrumentor

    FastAPIInstrumentor.instrument_app(
        app,
        meter_provider=HttpMeters(),
        excluded_urls=UNTRACED_URLS,
        exclude_spans=["receive", "send"],
    )
    # The app already runs: its lifespan starts telemetry.
    app.middleware_stack = app.build_middleware_stack()


def instrument_http_client(client: "AsyncClient") -> None:
    """Trace the client's requests, if telemetry is on, and propagate the trace."""
    if tracing.is_enabled():
        from opentelemetry.instrumentation.httpx import HTTPX2ClientInstrumentor

        instrumentor: Any = HTTPX2ClientInstrumentor  # declared for httpx only
        instrumentor.instrument_client(client)


class HttpMeters(MeterProvider):
    """Creates meters for duration and number of requests that cost less per request.

    It drops body sizes: no chart shows them, and they cost 5% of the request rate. A
    plain number counts the requests in flight and is read at each export: an SDK
    counter would cost another 4%.
    """

    def get_meter(self, name: str, *args: Any, **kwargs: Any) -> Meter:
        """A meter that records only the wanted instruments."""
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
    """The sum of all added amounts, ignoring attributes; for one thread only."""

    value: float = 0

    def add(self, amount: float, *_: Any, **__: Any) -> None:
        """Called with 1 when a request begins, and with -1 when it ends."""
        self.value += amount
