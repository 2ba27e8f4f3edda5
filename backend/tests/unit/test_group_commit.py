"""What is committed together, and what is tried again, without a database."""

import asyncio
from types import SimpleNamespace
from typing import Any

import asyncpg
import pytest
from sqlalchemy.dialects.postgresql import asyncpg as dialect

from app.core.database_connections import OPENED
from app.core.exceptions import DatabaseBusy, DatabaseUnavailable
from app.infrastructure.postgres import group_commit
from app.infrastructure.postgres.group_commit import RETRIES, GroupCommit, Row
from app.models.schemas import TaskStatus
from app.repositories.data_repository import DataRepository
from chassis.context import current_request_id


class Engine:
    """Gives connections whose statements end as a test says, and notes for each
    statement its connection, its number of rows and the request id of its context."""

    echo = False

    def __init__(self) -> None:
        new_dialect: Any = dialect.dialect
        self.dialect = new_dialect()
        self.errors: list[Exception] = []
        self.opened = self.closed = 0
        self.statements: list[tuple[int, int, str]] = []

    async def connect(self) -> Any:
        self.opened += 1
        number = self.opened

        async def execute(_: str, *columns: list[Any]) -> None:
            await asyncio.sleep(0)
            request_id = current_request_id.get()
            self.statements.append((number, len(columns[0]), request_id))
            if self.errors:
                raise self.errors.pop(0)

        async def raw() -> Any:
            info = {OPENED: float("inf")}
            return SimpleNamespace(driver_connection=driver, info=info)

        async def close() -> None:
            self.closed += 1

        driver = SimpleNamespace(execute=execute, is_closed=lambda: False)
        return SimpleNamespace(get_raw_connection=raw, close=close)


@pytest.fixture
def engine() -> Engine:
    return Engine()


@pytest.fixture
def commits(engine: Engine) -> GroupCommit:
    own: Any = engine
    return GroupCommit(own)


def record(number: int) -> list[Row]:
    return [DataRepository.row(task_id=str(number), task_status=TaskStatus.SUCCESS)]


async def test_a_statement_has_a_number_of_requests(
    engine: Engine, commits: GroupCommit, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PostgreSQL would work on a long one for longer than requests may wait."""
    monkeypatch.setattr(group_commit, "MAX_BATCH", 3)
    await asyncio.gather(*(commits.add(record(number)) for number in range(7)))
    assert [rows for _, rows, _ in engine.statements] == [3, 3, 1]


async def test_the_writer_is_in_no_request(
    engine: Engine, commits: GroupCommit
) -> None:
    """Its log lines and spans would name the first one for ever."""
    none = current_request_id.get()
    token = current_request_id.set("the first")
    try:
        await commits.add(record(1))
    finally:
        current_request_id.reset(token)
    assert [request_id for *_, request_id in engine.statements] == [none]


async def test_its_connection_is_kept_until_it_is_closed(
    engine: Engine, commits: GroupCommit
) -> None:
    """The pool closes only those that have come back."""
    for number in range(2):
        await commits.add(record(number))
    assert (engine.opened, engine.closed) == (1, 0)
    await commits.close()
    assert engine.closed == 1


@pytest.mark.parametrize(
    ("error", "attempts"),
    [
        (asyncpg.AdminShutdownError("stops"), RETRIES + 1),
        (asyncpg.InternalClientError("not sent"), RETRIES + 1),
        (asyncpg.DeadlockDetectedError("busy"), RETRIES + 1),
        (asyncpg.ConnectionDoesNotExistError("lost"), 1),
    ],
)
async def test_what_may_be_stored_is_not_stored_again(
    engine: Engine, commits: GroupCommit, error: Exception, attempts: int
) -> None:
    """Each attempt has a connection of its own: the last one may be about to end."""
    engine.errors = [error] * (RETRIES + 1)
    with pytest.raises((DatabaseUnavailable, DatabaseBusy)):
        await commits.add(record(1))
    connections = [connection for connection, *_ in engine.statements]
    assert connections == list(range(1, attempts + 1))
