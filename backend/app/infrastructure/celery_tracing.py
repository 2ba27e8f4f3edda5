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

_publishing = tracing.meter.create_histogram(
    "messaging.client.operation.duration",
    unit="s",
    description="Duration of handing a task to Redis.",
    explicit_bucket_boundaries_advisory=tracing.DURATIONS,
)


class TracedCelery(Celery):
    """Celery whose every publish is a span, and whose messages carry its context."""

    def send_task(self, name: str, *args: Any, **options: Any) -> Any:
        """As Celery's; ``apply_async``, retries and beat come by here too."""
        headers = dict(options.pop("headers", None) or {})
        with _publish(self, name, options, headers):
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


def _publish(
    app: Celery, task: str, options: dict[str, Any], headers: dict[str, Any]
) -> AbstractContextManager[None]:
    if not tracing.on():
        return tracing.NOTHING
    queue = options.get("queue") or app.conf.task_default_queue
    attributes = describe(task, str(getattr(queue, "name", queue)), "publish")
    return _traced(task, attributes, options.get("task_id"), headers)


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
