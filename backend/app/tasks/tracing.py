"""A span and a duration for each run of a task, and ids for its log lines.

Connected to Celery's signals rather than wrapped around the task, so that Celery's own
lines on its success or failure belong to the span too.
"""

import time
from dataclasses import dataclass
from typing import Any

from celery import Task
from celery.app import trace as celery_trace
from celery.exceptions import Ignore, Reject, Retry
from celery.signals import task_postrun, task_prerun
from opentelemetry import context, trace
from opentelemetry.trace import Span, SpanKind

from app.core import tracing
from app.core.histograms import Histogram
from app.core.request_id import current_request_id
from app.core.task_id import current_task_id
from app.infrastructure.celery_tracing import describe

_durations = Histogram(
    "messaging.process.duration",
    unit="s",
    description="Duration of one run of a task.",
    bounds=tracing.DURATIONS,
)

# What a task returned is somebody's data: Celery's line on its success goes without.
SUCCESS = "Task %(name)s[%(id)s] succeeded in %(runtime)ss"


@dataclass(frozen=True, slots=True)
class _Run:
    began: float
    attributes: dict[str, Any]
    span: Span
    token: Any


_runs: dict[str, _Run] = {}


def trace_tasks() -> None:
    """Have every task of this process traced, and payloads kept out of the log."""
    celery_trace.LOG_SUCCESS = SUCCESS
    task_prerun.connect(_begin)
    task_postrun.connect(_end)


def _begin(task_id: str, task: Task[Any, Any], **_: Any) -> None:
    current_task_id.set(task_id)
    if not tracing.on():
        return
    queue = (task.request.delivery_info or {}).get("routing_key") or "default"
    attributes = describe(task.name, queue, "process")
    span = tracing.tracer.start_span(
        f"run/{task.name}",
        tracing.parent_of(task.request.headers or {}),
        SpanKind.CONSUMER,
        {
            **attributes,
            "celery.action": "run",
            "celery.retries": task.request.retries or 0,
            "messaging.message.id": task_id,
        },
    )
    token = context.attach(trace.set_span_in_context(span))
    _runs[task_id] = _Run(time.perf_counter(), attributes, span, token)


def _end(task_id: str, state: str | None = None, retval: Any = None, **_: Any) -> None:
    run = _runs.pop(task_id, None)
    if run is not None:
        state = state or "FAILURE"
        run.span.set_attribute("celery.state", state)
        attributes = {**run.attributes, "celery.state": state}
        if isinstance(retval, BaseException) and not isinstance(
            retval, Retry | Ignore | Reject
        ):
            tracing.fail(run.span, retval)
            attributes["error.type"] = tracing.error_type(retval)
        elif isinstance(retval, Retry) and retval.exc is not None:
            run.span.set_attribute("error.type", tracing.error_type(retval.exc))
        _durations.record(time.perf_counter() - run.began, attributes)
        context.detach(run.token)
        run.span.end()
    current_task_id.set(None)
    current_request_id.set("-")
