"""The records of accepted work, from the worker's side: sync engine, direct SQL."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from sqlalchemy import (
    Engine,
    Table,
    bindparam,
    exists,
    insert,
    select,
    union_all,
    update,
)
from sqlmodel import Session, SQLModel, col

from app.core.database import translate_errors
from app.core.exceptions import DatabaseUnavailable
from app.infrastructure.rabbitmq import LogEvent
from app.models.database import DataProcessingRecord, TaskLog
from app.models.schemas import TaskStatus
from app.repositories.data_repository import not_ended
from app.repositories.task_repository import TaskRepository

logger = logging.getLogger(__name__)

ENDING = ("task_status", "outcome", "task_type")
LOG = (
    "task_id",
    "correlation_id",
    "queue_name",
    "service_name",
    "task_type",
    "description",
    "status",
    "created_at",
)


def table(model: type[SQLModel]) -> Table:
    """The table of a model."""
    found: Table = model.__table__  # type: ignore[attr-defined]
    return found


@lru_cache
def _statement(logs: int) -> Any:
    """Ends a record if it is ``Processing``, and adds that many log rows if so.

    One statement, so that a task costs one round trip instead of five.
    """
    # The columns to set are those that are named here, and ``updated_at``.
    end = (
        update(table(DataProcessingRecord))
        .where(
            col(DataProcessingRecord.task_id) == bindparam("ended"),
            not_ended(),
        )
        .values({name: bindparam(name) for name in ENDING})
    )
    if logs == 0:
        return end
    ended = end.returning(col(DataProcessingRecord.id)).cte("ended")
    columns = [table(TaskLog).c[name] for name in LOG]
    rows = union_all(
        *(
            select(
                *(
                    bindparam(f"{c.name}_{n}", type_=c.type).label(c.name)
                    for c in columns
                )
            ).where(exists(select(ended)))
            for n in range(logs)
        )
    )
    return insert(table(TaskLog)).from_select(columns, rows)


@dataclass(frozen=True)
class Ending:
    """The final state of a record."""

    status: TaskStatus
    outcome: Any
    task_type: str | None = None


def failure(code: str, detail: str) -> Ending:
    """An ending in failure, with its reason for people and machines."""
    outcome = {"status": "failure", "code": code, "detail": detail}
    return Ending(TaskStatus.FAILURE, outcome)


def end_record(
    engine: Engine,
    task_id: str,
    ending: Ending,
    events: Sequence[LogEvent] = (),
    description: str | None = None,
) -> bool:
    """Write the final state, unless somebody has done so; whether this call did.

    Raises:
        DatabaseUnavailable: PostgreSQL did not answer.
    """
    parameters: dict[str, Any] = {
        "ended": task_id,
        "task_status": ending.status.value,
        "outcome": ending.outcome,
        "task_type": ending.task_type,
    }
    for number, event in enumerate(events):
        row = TaskRepository.row(event, description=description)
        parameters |= {f"{name}_{number}": row.values[name] for name in LOG}
    statement = _statement(len(events))
    try:
        changed = _execute(engine, statement, parameters)
    except DatabaseUnavailable:  # a connection may just have been old
        changed = _execute(engine, statement, parameters)
    if not changed:
        logger.info("Task %s has ended before, or its record is gone", task_id)
    return changed


def _execute(engine: Engine, statement: Any, parameters: dict[str, Any]) -> bool:
    with translate_errors(), Session(engine) as session:
        result: Any = session.execute(statement, parameters)
        session.commit()
        return bool(result.rowcount)
