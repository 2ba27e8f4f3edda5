"""The id of a piece of work: of its record, its message and its task.

Usually a fresh one. Work under an idempotency key has an id that follows from key and
request, so that doing it twice finds the same record.
"""

from contextvars import ContextVar
from uuid import uuid4

from chassis.context import current_task_id

given_task_id: ContextVar[str | None] = ContextVar("given_task_id", default=None)


def new_task_id() -> str:
    """The id that the request's key stands for, or a fresh one; current from here."""
    task_id = given_task_id.get() or str(uuid4())
    current_task_id.set(task_id)
    return task_id
