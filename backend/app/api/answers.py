"""Answers to synchronous work, always built from the record's text."""

from typing import Any

from fastapi import Response
from starlette.types import Receive, Scope, Send

from app.core.database import Database
from app.core.exceptions import AnswerNotKept
from app.core.ids import answer_is_in_record
from app.models.schemas import TaskStatus
from app.repositories.data_repository import DataRepository
from chassis import json_aside

RECORD = "/api/v1/database/records/"


class Processed(Response):
    """Writes its outcome as JSON when it is sent, a large one outside the event
    loop."""

    media_type = "application/json"

    def __init__(self, outcome: Any, headers: dict[str, str]) -> None:
        super().__init__(headers=headers)
        self._outcome = outcome

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it."""
        self.body = _body(await json_aside.write(self._outcome))
        self.headers["Content-Length"] = str(len(self.body))
        await super().__call__(scope, receive, send)


def processed(task_id: str, outcome: Any) -> Response:
    """A ``TaskResult`` with that outcome; ``Location`` names the record.

    Under an idempotency key the body is not stored a second time: ``read_processed``
    rebuilds it.
    """
    answer_is_in_record(task_id)
    return Processed(outcome, {"Location": RECORD + task_id})


async def read_processed(database: Database, task_id: str) -> bytes:
    """The body that ``processed`` answered with.

    Raises:
        AnswerNotKept: the record has been deleted since.
        DatabaseUnavailable: PostgreSQL did not answer.
    """
    async with database.session() as session:
        outcome = await DataRepository(session).get_outcome(task_id)
    if outcome is None:
        raise AnswerNotKept(
            "This request was already processed, and its record has since "
            "been deleted."
        )
    return _body(outcome)


def _body(outcome: str) -> bytes:
    status = TaskStatus.SUCCESS.value
    return f'{{"task_id":"-","task_status":"{status}","outcome":{outcome}}}'.encode()
