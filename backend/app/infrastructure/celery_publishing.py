"""Publishing tasks: no arguments in logs, and whole telemetry also when it fails.

OpenTelemetry's instrumentation starts a span before a publish and ends it afterwards.
If the publish raises, nothing comes afterwards: the span would never end, and would
stay the parent of all that follows.
"""

from contextvars import copy_context
from typing import Any
from uuid import uuid4

from celery import Celery
from celery.signals import after_task_publish

# What people sent stays out of logs and events.
HIDDEN = {"argsrepr": "()", "kwargsrepr": "{}"}


class TidyCelery(Celery):
    """Celery that hides the arguments of tasks, and ends what the instrumentation
    began, also when publishing fails."""

    def send_task(self, name: str, *args: Any, **options: Any) -> Any:
        """As Celery's; ``apply_async``, retries and beat come by here too."""
        options["task_id"] = options.get("task_id") or str(uuid4())
        return copy_context().run(self._send, name, *args, **{**options, **HIDDEN})

    def _send(self, name: str, *args: Any, **options: Any) -> Any:
        try:
            return super().send_task(name, *args, **options)
        except BaseException:
            after_task_publish.send(sender=name, headers={"id": options["task_id"]})
            raise
