"""Workers that do the same at the same time share the rows; none waits for another."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy.dialects import postgresql

from app.repositories.data_repository import delete_old_records, lock_stale
from app.repositories.delivery_repository import delete_old_deliveries
from app.repositories.task_repository import delete_old_logs

AGE = timedelta(days=1)


class Session:
    """Notes the statement, and finds nothing."""

    statement = ""

    def exec(self, query: Any) -> "Session":
        dialect: Any = postgresql.dialect
        self.statement = str(query.compile(dialect=dialect()))
        return self

    execute = exec

    def one_or_none(self) -> None: ...

    first = one_or_none


@pytest.mark.parametrize(
    "work",
    [
        lambda session: lock_stale(session, "t-1", AGE),
        lambda session: delete_old_records(session, AGE),
        lambda session: delete_old_logs(session, AGE),
        lambda session: delete_old_deliveries(session, AGE),
    ],
    ids=["sweep", "records", "logs", "deliveries"],
)
def test_rows_that_another_one_has_are_left_to_it(work: Callable[[Any], Any]) -> None:
    session = Session()
    assert not work(session)
    assert "FOR UPDATE SKIP LOCKED" in session.statement
