"""The ids of a task in its log lines, and no payload there."""

from typing import Any

from celery.app import trace as celery_trace
from celery.signals import task_postrun, task_prerun

from chassis.context import current_request_id, current_task_id

# What a task returned is somebody's data: Celery's line on its success goes without.
SUCCESS = "Task %(name)s[%(id)s] succeeded in %(runtime)ss"


def name_tasks() -> None:
    """Have the log lines of this process name the task that they are about."""
    celery_trace.LOG_SUCCESS = SUCCESS
    task_prerun.connect(_begin)
    task_postrun.connect(_end)


def _begin(task_id: str, **_: Any) -> None:
    current_task_id.set(task_id)


def _end(**_: Any) -> None:
    current_task_id.set(None)
    current_request_id.set("-")
