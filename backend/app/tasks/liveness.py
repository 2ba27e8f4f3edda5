"""A worker's heartbeat: a file whose age shows it, without asking any server. Beat's is
in ``app.tasks.beat``.

A probe (of a container or of Kubernetes) checks the file's age:
``find "$CELERY_HEARTBEAT_FILE" -mmin -0.5 | grep -q .``
"""

import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from celery.bootsteps import StartStopStep
from celery.worker import state

# Seconds that a task may exceed its time limit before its child counts as hung: a
# healthy worker kills the child at the limit.
GRACE = 10


class Liveness(StartStopStep):
    """Touches the file every second, unless a task has exceeded its time limit."""

    requires = ("celery.worker.components:Timer",)

    def start(self, parent: Any) -> None:
        """Called by Celery when the worker starts."""
        file = parent.app.conf.heartbeat_file
        if file:
            touch = sign_of_life(Path(file), parent.app.conf.task_time_limit)
            touch()
            parent.timer.call_repeatedly(1.0, touch)


def sign_of_life(
    file: Path,
    time_limit: float,
    requests: Callable[[], Iterable[Any]] = lambda: tuple(state.active_requests),
) -> Callable[[], None]:
    """The timer's action; ``requests`` are the tasks that run now."""

    def touch() -> None:
        latest = time.time() - time_limit - GRACE
        if all((request.time_start or latest) >= latest for request in requests()):
            file.touch()

    return touch
