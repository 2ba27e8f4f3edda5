"""What the worker's parent does otherwise than Celery: it finds Redis again soon after
that is back, names the task whose failure it reports, and says when it has failed."""

from functools import partial
from typing import Any

from celery.bootsteps import StartStopStep
from celery.worker.consumer import Consumer
from celery.worker.request import Request

from chassis.context import current_task_id

# Seconds between attempts to connect: the first pause, and the longest. Those of Celery
# grow to 30 s, for which accepted work would wait after Redis has long been back.
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 2.0


class PromptConsumer(Consumer):
    """Celery's own, with shorter pauses; for the setting ``worker_consumer``."""

    def ensure_connected(self, conn: Any) -> Any:
        """Called by Celery with a connection that shall be made, at start and after a
        loss; returns it when it is."""
        conn.ensure_connection = partial(
            conn.ensure_connection,
            interval_start=FIRST_PAUSE,
            interval_step=FIRST_PAUSE,
            interval_max=LONGEST_PAUSE,
        )
        return super().ensure_connected(conn)


class ColdStatus(StartStopStep):
    """A worker that is stopped cold has not done what it should: its exit status says
    so, which Celery leaves at 0."""

    def terminate(self, parent: Any) -> None:
        """Called by Celery in a cold shutdown."""
        parent.exitcode = 1


class NamedRequest(Request):
    """A task as the parent sees it; for ``Request`` of the app's tasks."""

    def on_failure(self, *args: Any, **kwargs: Any) -> None:
        """Called by Celery when a child has failed, hung or died with the task."""
        token = current_task_id.set(self.id)
        try:
            super().on_failure(*args, **kwargs)
        finally:
            current_task_id.reset(token)
