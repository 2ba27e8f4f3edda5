"""Rows of concurrent requests in a real database."""

import asyncio
from uuid import uuid4

import pytest
from sqlalchemy import text

from app.core.database import Database
from app.core.exceptions import (
    AlreadyStored,
    DatabaseUnavailable,
    TooManyInFlight,
)
from app.infrastructure.postgres import group_commit
from app.infrastructure.postgres.group_commit import GroupCommit, Row
from app.models.database import DataProcessingRecord
from app.models.schemas import TaskStatus
from app.repositories.data_repository import DataRepository
from local.servers.postgres import PostgreSQL


def record(task_id: str | None = None, payload: object = None) -> Row:
    return DataRepository.row(
        task_id=task_id or str(uuid4()),
        payload=payload,
        description=None,
        task_status=TaskStatus.SUCCESS,
    )


async def stored(database: Database, rows: list[Row]) -> list[DataProcessingRecord]:
    async with database.session() as session:
        repository = DataRepository(session)
        found = [await repository.get_by_task_id(r.values["task_id"]) for r in rows]
    return [row for row in found if row is not None]


@pytest.mark.promise(
    "docs/adr/0005-group-commit.md", "The API responds only after its rows are on disk."
)
async def test_a_row_is_committed_when_add_returns(
    database: Database, commits: GroupCommit
) -> None:
    row = record(payload={"日本語": [1, 2.5, None, 10**100]})
    await commits.add([row])
    (found,) = await stored(database, [row])
    assert found.payload == row.values["payload"]
    assert found.created_at is not None and found.created_at.tzinfo is not None


@pytest.mark.promise(
    "docs/adr/0005-group-commit.md",
    "Rows of concurrent requests share one statement and one commit",
)
@pytest.mark.promise(
    "ARCHITECTURE.md", "New rows of concurrent requests share a transaction"
)
async def test_waiting_requests_share_a_commit(
    database: Database, commits: GroupCommit
) -> None:
    rows = [record() for _ in range(50)]
    await asyncio.gather(*(commits.add([row]) for row in rows))
    query = "SELECT count(DISTINCT xmin::text) FROM data_processing_records"
    ids = ",".join(f"'{row.values['task_id']}'" for row in rows)
    async with database.session() as session:
        count = await session.scalar(text(f"{query} WHERE task_id IN ({ids})"))
    assert count == 1  # all of them arrived before the first was committed


@pytest.mark.promise(
    "docs/adr/0005-group-commit.md", "so that only the faulty request gets the error"
)
async def test_one_bad_row_fails_alone(
    database: Database, commits: GroupCommit
) -> None:
    taken = record()
    await commits.add([taken])
    good = [record() for _ in range(10)]
    bad = [record(), record(taken.values["task_id"])]
    writes = [commits.add([row]) for row in good]
    writes.insert(5, commits.add(bad))
    results = await asyncio.gather(*writes, return_exceptions=True)
    assert [isinstance(result, Exception) for result in results].count(True) == 1
    assert isinstance(results[5], AlreadyStored)
    assert len(await stored(database, good)) == 10
    assert await stored(database, bad[:1]) == []  # all rows of a request, or no row


async def test_a_cancelled_request_affects_no_other(
    database: Database, commits: GroupCommit
) -> None:
    rows = [record(), record()]
    first = asyncio.create_task(commits.add([rows[0]]))
    second = asyncio.create_task(commits.add([rows[1]]))
    await asyncio.sleep(0)
    first.cancel()
    await second
    assert len(await stored(database, rows)) == 2


async def test_closing_commits_waiting_rows(
    database: Database, commits: GroupCommit
) -> None:
    rows = [record() for _ in range(5)]
    writes = [asyncio.create_task(commits.add([row])) for row in rows]
    await asyncio.sleep(0)
    await commits.close()
    assert len(await stored(database, rows)) == 5
    assert all(write.done() for write in writes)


@pytest.mark.budget("group_commit.MAX_WAITING")
async def test_waiting_rows_are_bounded(
    commits: GroupCommit, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(group_commit, "MAX_WAITING", 3)
    writes = [asyncio.create_task(commits.add([record()])) for _ in range(4)]
    results = await asyncio.gather(*writes, return_exceptions=True)
    assert sum(isinstance(result, TooManyInFlight) for result in results) == 1


async def test_database_killed_and_restarted(
    database: Database, commits: GroupCommit, postgres: PostgreSQL
) -> None:
    await commits.add([record()])
    lost = [record() for _ in range(20)]
    await asyncio.to_thread(postgres.kill)
    try:
        writes = [commits.add([row]) for row in lost]
        async with asyncio.timeout(10):
            results = await asyncio.gather(*writes, return_exceptions=True)
    finally:
        await asyncio.to_thread(postgres.start)
    assert {type(result) for result in results} == {DatabaseUnavailable}
    assert await stored(database, lost) == []
    row = record()
    await commits.add([row])
    assert len(await stored(database, [row])) == 1


async def test_every_error_of_a_restart_is_translated(
    commits: GroupCommit, postgres: PostgreSQL
) -> None:
    outcomes = set()

    async def write_until(done: asyncio.Event) -> None:
        while not done.is_set():
            try:
                await commits.add([record()])
                outcomes.add("stored")
            except Exception as error:
                outcomes.add(type(error).__name__)

    for restart in (postgres.kill, postgres.stop):
        done = asyncio.Event()
        writers = [asyncio.create_task(write_until(done)) for _ in range(8)]
        await asyncio.to_thread(restart)
        await asyncio.to_thread(postgres.start)
        await commits.add([record()])
        done.set()
        await asyncio.gather(*writers)
    assert outcomes == {"stored", "DatabaseUnavailable"}


async def test_database_that_does_not_answer(
    database: Database, commits: GroupCommit, postgres: PostgreSQL
) -> None:
    await commits.add([record()])
    database.engine.pool.dispose()
    postgres.pause()
    try:
        async with asyncio.timeout(20):
            with pytest.raises(DatabaseUnavailable):
                await commits.add([record()])
    finally:
        postgres.resume()
    await commits.add([record()])
