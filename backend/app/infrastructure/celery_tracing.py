"""The publishing half of Celery's spans; ``app.tasks.tracing`` is the other.

Names and attributes are those of OpenTelemetry's instrumentation of Celery, by which
SigNoz draws its Celery pages. That one leaves its span attached when publishing fails,
and knows nothing of processes that only publish.
"""

import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from celery import Celery
from opentelemetry.trace import SpanKind

from app.core import tracing
from app.core.histograms import Histogram

_publishing = Histogram(
    "messaging.client.operation.duration",
    unit="s",
    description="Duration of handing a task to Redis.",
    bounds=tracing.DURATIONS,
)


class TracedCelery(Celery):
    """Celery whose every publish is a span, and whose messages carry its context."""

    def send_task(self, name: str, *args: Any, **options: Any) -> Any:
        """As Celery's; ``apply_async``, retries and beat come by here too."""
        headers = dict(options.pop("headers", None) or {})
        queue = options.get("queue") or self.conf.task_default_queue
        queue = str(getattr(queue, "name", queue))
        with publishing(name, queue, options.get("task_id"), headers):
            return super().send_task(name, *args, headers=headers, **options)


def describe(task: str, queue: str, operation: str) -> dict[str, Any]:
    """The attributes that both halves share."""
    return {
        "messaging.system": "redis",
        "messaging.operation.name": operation,
        "messaging.operation.type": "send" if operation == "publish" else operation,
        "messaging.destination.name": queue,
        "celery.task_name": task,
    }


def publishing(
    task: str, queue: str, task_id: str | None, headers: dict[str, Any]
) -> AbstractContextManager[None]:
    """A span for handing a task to Redis; ``headers`` get its context."""
    if not tracing.on():
        return tracing.NOTHING
    return _traced(task, describe(task, queue, "publish"), task_id, headers)


@contextmanager
def _traced(
    task: str, attributes: dict[str, Any], task_id: str | None, headers: dict[str, Any]
) -> Iterator[None]:
    span = tracing.tracer.start_span(
        f"apply_async/{task}",
        kind=SpanKind.PRODUCER,
        attributes={
            **attributes,
            "celery.action": "apply_async",
            **({"messaging.message.id": task_id} if task_id else {}),
        },
    )
    tracing.inject(headers, span)
    began = time.perf_counter()
    try:
        yield
    except BaseException as error:
        tracing.fail(span, error)
        attributes["error.type"] = tracing.error_type(error)
        raise
    finally:
        _publishing.record(time.perf_counter() - began, attributes)
        span.end()
