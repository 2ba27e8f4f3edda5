"""Adds the id of a task to its log lines, and keeps payloads out of them."""

import logging
from typing import Any

from celery.app import trace as celery_trace
from celery.signals import task_postrun, task_prerun

from app.infrastructure.celery import PROCESS_DATA
from chassis.context import current_principal, current_request_id, current_task_id

# Arguments and results of tasks are clients' data: Celery's lines on receipt and
# success must not contain them, neither in their text nor in their other fields.
SUCCESS = "Task %(name)s[%(id)s] succeeded in %(runtime)ss"
LOGGERS = ("celery.app.trace", "celery.worker.strategy")
# Tasks without Celery's lines on receipt, success and retry, and beat's on sending.
# Accepted work has a line of `chassis.logs.log_work` that says more; the worker looks
# for events to send each second.
QUIET = (PROCESS_DATA, "app.tasks.webhooks.send_webhooks")


def name_tasks() -> None:
    """Make this process's log lines name their task."""
    celery_trace.LOG_SUCCESS = SUCCESS
    for name in LOGGERS:
        logging.getLogger(name).addFilter(_without_data)
    task_prerun.connect(_begin)
    task_postrun.connect(_end)


def _without_data(record: logging.LogRecord) -> bool:
    vars(record).pop("data", None)
    named = record.args.get("name") if isinstance(record.args, dict) else None
    return record.levelno > logging.INFO or named not in QUIET


def _begin(task_id: str, **_: Any) -> None:
    current_task_id.set(task_id)
    current_request_id.set(task_id)  # unless the task has a request id


def _end(**_: Any) -> None:
    current_task_id.set(None)
    current_principal.set(None)
    current_request_id.set("-")
