"""Whose line it is: a thread of a worker runs one task after another."""

from contextvars import copy_context

from celery.signals import task_postrun, task_prerun

from app.tasks.log_context import name_tasks
from chassis.context import current_principal, current_request_id, current_task_id


def work() -> None:
    task_prerun.send(None, task_id="t-1")
    assert (current_task_id.get(), current_request_id.get()) == ("t-1", "t-1")
    current_principal.set("alice")
    task_postrun.send(None, task_id="t-1")
    assert (current_task_id.get(), current_request_id.get()) == (None, "-")
    assert current_principal.get() is None


def test_lines_after_a_task_are_not_the_task_s() -> None:
    name_tasks()
    copy_context().run(work)
