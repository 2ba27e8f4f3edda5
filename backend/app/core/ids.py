"""The id of a piece of work: of its record, its message and its task.

It is usually random. Under an idempotency key it is derived from key and request, so
repeating the request finds the same record.
"""

from contextvars import ContextVar
from dataclasses import dataclass
from uuid import uuid4

from chassis.context import current_task_id


@dataclass(slots=True)
class KeyedWork:
    """Work under an idempotency key; ``is_in_record`` if the record holds its
    answer. ``repeated_body`` is the body for repeated requests, if they get another
    one."""

    task_id: str
    is_in_record: bool = False
    repeated_body: bytes | None = None


keyed_work: ContextVar[KeyedWork | None] = ContextVar("keyed_work", default=None)


def new_task_id() -> str:
    """The id derived from the request's key, or a random one; it becomes the current
    id."""
    work = keyed_work.get()
    task_id = work.task_id if work else str(uuid4())
    current_task_id.set(task_id)
    return task_id


def answer_is_in_record(task_id: str) -> None:
    """Mark that the record holds the whole answer: it need not be stored twice."""
    work = keyed_work.get()
    if work is not None and work.task_id == task_id:
        work.is_in_record = True


def repeat_with(body: bytes) -> None:
    """Answer repeated requests with this body: the first answer has a secret, which
    must not be stored."""
    work = keyed_work.get()
    if work is not None:
        work.repeated_body = body
