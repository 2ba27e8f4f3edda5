"""Schedules of tasks, declared next to each task.

    @scheduled(lambda settings: 60)
    @shared_task
    def look_around() -> None: ...

    @scheduled(lambda settings: crontab(hour="3", minute="0"), queue="low")
    @shared_task
    def tidy_up() -> None: ...

A number is seconds; the times of a crontab are UTC.
"""

from collections.abc import Callable
from types import FunctionType
from typing import Any, NamedTuple, TypeVar

from celery import Task
from celery.schedules import crontab

from app.core.config import Settings

DAY = 24 * 60 * 60.0

When = Callable[[Settings], float | crontab]
AnyTask = TypeVar("AnyTask", bound=Task[Any, Any])


class _Scheduled(NamedTuple):
    task: Task[Any, Any]
    when: When
    queue: str


_scheduled: list[_Scheduled] = []


def scheduled(when: When, queue: str = "default") -> Callable[[AnyTask], AnyTask]:
    """Have beat send the task, without arguments, at an interval in seconds or at the
    times of a crontab. ``when`` is called once, with the settings of the process."""

    def note(task: AnyTask) -> AnyTask:
        # Do not read the task's attributes yet: that would look for its application.
        given: object = task
        if type(given) is FunctionType:
            raise TypeError(
                f"{given.__qualname__} in {given.__module__} is no task: write "
                "@shared_task between @scheduled(...) and the function"
            )
        _scheduled.append(_Scheduled(task, when, queue))
        return task

    return note


def beat_schedule(settings: Settings) -> dict[str, Any]:
    """The schedules of all imported modules, in Celery's format."""
    return dict(_entry(each, each.when(settings)) for each in _scheduled)


def _entry(each: _Scheduled, when: float | crontab) -> tuple[str, dict[str, Any]]:
    # Drop a task that waited until the next one is due: it adds nothing.
    expires = DAY if isinstance(when, crontab) else when
    options = {"queue": each.queue, "expires": expires}
    name = each.task.name.rpartition(".")[2]
    return name, {"task": each.task.name, "schedule": when, "options": options}
