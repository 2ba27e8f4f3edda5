"""A span for each statement that is part of a trace, mostly by SQLAlchemy's events.

Statements are shown with their placeholders; parameters are somebody's data. What runs
outside of a trace (health checks, polling) makes no span.
"""

import logging
import re
from functools import lru_cache
from typing import Any

from opentelemetry import metrics
from opentelemetry.trace import Span, SpanKind
from sqlalchemy import Engine, event
from sqlalchemy.pool import QueuePool

from app.core import tracing

echo = logging.getLogger("sqlalchemy.engine.Engine")

SPAN = "span"
LONGEST_TEXT = 2000

_OPERATION = re.compile(r"\b(SELECT|INSERT|UPDATE|DELETE)\b", re.IGNORECASE)
_TABLE = re.compile(r"\b(?:INTO|UPDATE|FROM)\s+([\w.\"]+)", re.IGNORECASE)


@lru_cache(256)
def summary(statement: str) -> tuple[str, str]:
    """What a statement does, and that with the first table it names."""
    found = _OPERATION.search(statement)
    operation = (found[1] if found else statement.split(None, 1)[0]).upper()
    table = _TABLE.search(statement)
    return operation, f"{operation} {table[1]}" if table else operation


def trace_engine(engine: Engine) -> None:
    """Trace the statements of an engine, and watch its pool; see ``tracing.on``."""
    if not tracing.on():
        return
    attributes = _server(engine)

    def begin(
        _connection: Any,
        _cursor: Any,
        statement: str,
        _parameters: Any,
        execution: Any,
        many: bool,
    ) -> None:
        if not tracing.recording():
            return
        span = _start(attributes, statement)
        if many and execution is not None:
            rows = len(execution.compiled_parameters or ())
            span.set_attribute("db.operation.batch.size", rows)
        setattr(execution, SPAN, span)

    def end(*arguments: Any) -> None:
        _end(arguments[4])

    def fail(failure: Any) -> None:
        _end(failure.execution_context, failure.original_exception)

    event.listen(engine, "before_cursor_execute", begin)
    event.listen(engine, "after_cursor_execute", end)
    event.listen(engine, "handle_error", fail)
    if isinstance(engine.pool, QueuePool):
        _watch(engine.pool, attributes)


def show(engine: Engine, text: str) -> None:
    """Log a statement that passes SQLAlchemy by, if SQL_ECHO is set."""
    if engine.echo:
        echo.info(text)


def attributes_of(engine: Engine, text: str) -> dict[str, Any]:
    """What a span says of such a statement."""
    return _described(_server(engine), text)


def _server(engine: Engine) -> dict[str, Any]:
    return {
        "db.system.name": "postgresql",
        "db.namespace": engine.url.database or "",
        "server.address": engine.url.host or "",
    }


def _start(server: dict[str, Any], text: str) -> Span:
    return tracing.tracer.start_span(
        summary(text)[1], kind=SpanKind.CLIENT, attributes=_described(server, text)
    )


def _described(server: dict[str, Any], text: str) -> dict[str, Any]:
    return {
        **server,
        "db.operation.name": summary(text)[0],
        "db.query.text": text[:LONGEST_TEXT],
    }


def _end(execution: Any, error: BaseException | None = None) -> None:
    span: Span | None = getattr(execution, SPAN, None)
    if span is None:
        return
    delattr(execution, SPAN)
    if error is not None:
        tracing.fail(span, error)
    span.end()


def _watch(pool: QueuePool, attributes: dict[str, Any]) -> None:
    """How many connections of the pool are in use, and how many lie ready."""

    def count(_: metrics.CallbackOptions) -> list[metrics.Observation]:
        state = "db.client.connection.state"
        return [
            metrics.Observation(pool.checkedout(), {**attributes, state: "used"}),
            metrics.Observation(pool.checkedin(), {**attributes, state: "idle"}),
        ]

    tracing.meter.create_observable_up_down_counter(
        "db.client.connection.count",
        [count],
        unit="{connection}",
        description="Connections of the pool, by state.",
    )
