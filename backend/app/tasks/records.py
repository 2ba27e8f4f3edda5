"""The records of accepted work, from the worker's side: sync engine, direct SQL."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Engine

from app.core.database import to_json, translate_errors
from app.core.exceptions import DatabaseUnavailable
from app.infrastructure.rabbitmq import LogEvent
from app.models.schemas import TaskStatus
from app.repositories.task_repository import TaskRepository

logger = logging.getLogger(__name__)

# Ends a record that has not ended. The condition on the status is that of not_ended()
# in data_repository.py.
END = """
UPDATE data_processing_records
SET task_status = %(task_status)s, outcome = %(outcome)s, task_type = %(task_type)s,
    updated_at = now()
WHERE task_id = %(task_id)s AND task_status NOT IN ('Success', 'Failure')
"""

# The same, and only then stores the log rows of its call: one round trip. Both go to
# the driver as they are, without a Session, which was a tenth of what a task takes.
END_AND_LOG = f"""
WITH ended AS ({END} RETURNING id)
INSERT INTO task_logs (
    task_id, correlation_id, queue_name, service_name, task_type, description, status,
    created_at
)
SELECT
    task_id, correlation_id, queue_name, service_name, task_type, description, status,
    created_at
FROM ended, json_populate_recordset(NULL::task_logs, %(logs)s) AS log
"""  # nosec: of constants


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
    outcome = ending.outcome
    parameters = {
        "task_id": task_id,
        "task_status": ending.status.value,
        "outcome": None if outcome is None else to_json(outcome),
        "task_type": ending.task_type,
        "logs": to_json([_log(event, description) for event in events]),
    }
    statement = END_AND_LOG if events else END
    try:
        changed = _execute(engine, statement, parameters)
    except DatabaseUnavailable:  # a connection may just have been old
        changed = _execute(engine, statement, parameters)
    if not changed:
        logger.info("Task %s has ended before, or its record is gone", task_id)
    return changed


def _log(event: LogEvent, description: str | None) -> dict[str, Any]:
    values = TaskRepository.row(event, description=description).values
    return {**values, "created_at": values["created_at"].isoformat()}


def _execute(engine: Engine, statement: str, parameters: dict[str, Any]) -> bool:
    with translate_errors(), engine.begin() as connection:
        return connection.exec_driver_sql(statement, parameters).rowcount > 0
