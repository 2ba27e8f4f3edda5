"""The records of accepted work, from the worker's side: sync engine, direct SQL."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Engine, insert, update
from sqlmodel import Session, col

from app.core.database import translate_errors
from app.infrastructure.rabbitmq import LogEvent
from app.models.database import DataProcessingRecord, TaskLog
from app.models.schemas import TaskStatus
from app.repositories.task_repository import TaskRepository

logger = logging.getLogger(__name__)


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
    query = (
        update(DataProcessingRecord)
        .where(
            col(DataProcessingRecord.task_id) == task_id,
            col(DataProcessingRecord.task_status) == TaskStatus.PROCESSING.value,
        )
        .values(
            task_status=ending.status.value,
            outcome=ending.outcome,
            task_type=ending.task_type,
        )
        .returning(col(DataProcessingRecord.id))
    )
    logs = [TaskRepository.row(e, description=description).values for e in events]
    with translate_errors(), Session(engine) as session:
        if session.execute(query).first() is None:
            logger.info("Task %s has ended before, or its record is gone", task_id)
            return False
        if logs:
            session.execute(insert(TaskLog), logs)
        session.commit()
        return True
