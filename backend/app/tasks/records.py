"""The records of accepted work, from the worker's side: sync engine, direct SQL."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Engine, Table, bindparam, insert, update
from sqlmodel import Session, SQLModel, col

from app.core.database import translate_errors
from app.infrastructure.rabbitmq import LogEvent
from app.models.database import DataProcessingRecord, TaskLog
from app.models.schemas import TaskStatus
from app.repositories.task_repository import TaskRepository

logger = logging.getLogger(__name__)


def table(model: type[SQLModel]) -> Table:
    """The table of a model."""
    found: Table = model.__table__  # type: ignore[attr-defined]
    return found


# Plain statements, built once: half of what a task costs its process would go into the
# ORM's work on them.
# The columns to set are those that the parameters name.
END = update(table(DataProcessingRecord)).where(
    col(DataProcessingRecord.task_id) == bindparam("ended"),
    col(DataProcessingRecord.task_status) == TaskStatus.PROCESSING.value,
)
ADD_LOGS = insert(table(TaskLog))


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
    logs = [TaskRepository.row(e, description=description).values for e in events]
    final = {
        "ended": task_id,
        "task_status": ending.status.value,
        "outcome": ending.outcome,
        "task_type": ending.task_type,
    }
    with translate_errors(), Session(engine) as session:
        connection = session.connection()
        if connection.execute(END, final).rowcount == 0:
            logger.info("Task %s has ended before, or its record is gone", task_id)
            return False
        if logs:
            connection.execute(ADD_LOGS, logs)
        session.commit()
        return True
