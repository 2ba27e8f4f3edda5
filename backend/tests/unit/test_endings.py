"""How the end of accepted work reaches PostgreSQL, without one."""

from typing import Any

import pytest

from app.core.exceptions import ApplicationError, DatabaseBusy, DatabaseUnavailable
from app.repositories import data_repository
from app.repositories.data_repository import end_record, failure


@pytest.mark.parametrize("error", [DatabaseUnavailable("away"), DatabaseBusy("busy")])
def test_an_ending_is_tried_twice(
    monkeypatch: pytest.MonkeyPatch, error: ApplicationError
) -> None:
    """A retry of the task would call the service again."""
    statements: list[Any] = []

    def execute(_: Any, statement: str, parameters: dict[str, Any]) -> bool:
        statements.append((statement, parameters["task_id"]))
        if len(statements) == 1:
            raise error
        return True

    monkeypatch.setattr(data_repository, "_execute", execute)
    engine: Any = None
    assert end_record(engine, "t-1", failure("x", "y"))
    assert statements == [(data_repository.END, "t-1")] * 2
