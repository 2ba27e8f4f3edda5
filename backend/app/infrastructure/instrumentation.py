"""Spans and metrics of libraries, by OpenTelemetry's instrumentations of them.

To be called where telemetry has started: they are imported only then. Calls to
services and group commit, which no library knows, have spans of our own.
"""

import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fastapi import FastAPI

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
        app, excluded_urls=UNTRACED_URLS, exclude_spans=["receive", "send"]
    )
    # It runs already: its lifespan is what starts telemetry.
    app.middleware_stack = app.build_middleware_stack()
