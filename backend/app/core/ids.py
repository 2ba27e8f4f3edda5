"""The id of a piece of work: of its record, its message and its task.

Usually a fresh one. Work under an idempotency key has an id that follows from key and
request, so that doing it twice finds the same record.
"""

from contextvars import ContextVar
from dataclasses import dataclass
from uuid import uuid4

from chassis.context import current_task_id


@dataclass(slots=True)
class KeyedWork:
    """Work under a key; ``is_in_record`` if its answer can be read from its record."""

    task_id: str
    is_in_record: bool = False


keyed_work: ContextVar[KeyedWork | None] = ContextVar("keyed_work", default=None)


def new_task_id() -> str:
    """The id that the request's key stands for, or a fresh one; current from here."""
    work = keyed_work.get()
    task_id = work.task_id if work else str(uuid4())
    current_task_id.set(task_id)
    return task_id


def answer_is_in_record(task_id: str) -> None:
    """Say that the record holds all that is answered: it need not be kept twice."""
    work = keyed_work.get()
    if work is not None and work.task_id == task_id:
        work.is_in_record = True
