"""The ids of a task in its log lines, and no payload there."""

import logging
from typing import Any

from celery.app import trace as celery_trace
from celery.signals import task_postrun, task_prerun

from app.infrastructure.celery import PROCESS_DATA
from chassis.context import current_request_id, current_task_id

# What a task was given and what it returned is somebody's data: Celery's lines on its
# arrival and its success go without, in their text and in what else they carry.
SUCCESS = "Task %(name)s[%(id)s] succeeded in %(runtime)ss"
LOGGERS = ("celery.app.trace", "celery.worker.strategy")


def name_tasks() -> None:
    """Have the log lines of this process name the task that they are about."""
    celery_trace.LOG_SUCCESS = SUCCESS
    for name in LOGGERS:
        logging.getLogger(name).addFilter(_without_data)
    task_prerun.connect(_begin)
    task_postrun.connect(_end)


def _without_data(record: logging.LogRecord) -> bool:
    """The tasks of people have a line of their own, `chassis.logs.log_work`, which says
    what Celery's on arrival, success and retry do, and more."""
    vars(record).pop("data", None)
    named = record.args.get("name") if isinstance(record.args, dict) else None
    return record.levelno > logging.INFO or named != PROCESS_DATA


def _begin(task_id: str, **_: Any) -> None:
    current_task_id.set(task_id)
    current_request_id.set(task_id)  # unless the task knows of a request


def _end(**_: Any) -> None:
    current_task_id.set(None)
    current_request_id.set("-")
