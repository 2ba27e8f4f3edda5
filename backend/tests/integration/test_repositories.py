"""Queries in a real database."""

import asyncio
import inspect
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import Table, text
from sqlmodel import SQLModel, select

from app.api.v1.endpoints.database import get_logs, get_records
from app.core.database import Database, create_sync_engine, to_json
from app.core.database_settings import DatabaseSettings
from app.core.exceptions import DatabaseUnavailable
from app.infrastructure.postgres.group_commit import GroupCommit
from app.infrastructure.rabbitmq import LogEvent
from app.models.database import DataProcessingRecord, TaskLog
from app.models.schemas import TaskStatus
from app.repositories.data_repository import DataRepository, not_ended
from app.repositories.pages import Page, newest_first
from app.repositories.task_repository import TaskRepository


async def add_records(commits: GroupCommit, count: int, task_type: str) -> list[str]:
    ids = [str(uuid4()) for _ in range(count)]
    rows = [
        DataRepository.row(
            task_id=task_id,
            payload=1,
            description=None,
            task_status=TaskStatus.SUCCESS,
            task_type=task_type,
            outcome={"n": 1},
        )
        for task_id in ids
    ]
    await commits.add(rows)
    return ids


@pytest.mark.promise(
    "ARCHITECTURE.md",
    "The `Link` header points to the next page by id, so new rows cause neither "
    "duplicates nor gaps.",
)
async def test_pages_follow_each_other_newest_first(
    database: Database, commits: GroupCommit
) -> None:
    ids = await add_records(commits, 5, "pages")
    seen: list[str] = []
    before = None
    async with database.session() as session:
        repository = DataRepository(session)
        while rows := await repository.get_page(
            Page(limit=2, before=before), task_type="pages", task_status=None
        ):
            seen += [row.task_id for row in rows]
            before = rows[-1].id
    assert seen == ids[::-1]


async def test_offset_skips(database: Database, commits: GroupCommit) -> None:
    ids = await add_records(commits, 3, "offset")
    async with database.session() as session:
        page = Page(limit=10, offset=1)
        rows = await DataRepository(session).get_page(page, task_type="offset")
    assert [row.task_id for row in rows] == ids[1::-1]


@pytest.mark.parametrize("outcome", [{"b": 1e16, "a": [1.0, "é\u2028"]}, 10**40, None])
async def test_an_outcome_is_read_as_it_is_stored(
    database: Database, commits: GroupCommit, outcome: Any
) -> None:
    task_id = str(uuid4())
    status = TaskStatus.SUCCESS
    row = DataRepository.row(task_id=task_id, task_status=status, outcome=outcome)
    await commits.add([row])
    async with database.session() as session:
        repository = DataRepository(session)
        assert await repository.get_outcome(task_id) == to_json(outcome)
        assert await repository.get_outcome(str(uuid4())) is None


async def test_a_record_is_deleted_once(
    database: Database, commits: GroupCommit
) -> None:
    (task_id,) = await add_records(commits, 1, "delete")
    async with database.session() as session:
        assert await DataRepository(session).delete(task_id)
        await session.commit()
    async with database.session() as session:
        assert not await DataRepository(session).delete(task_id)
        assert await DataRepository(session).get_by_task_id(task_id) is None


@pytest.mark.promise(
    "ARCHITECTURE.md",
    "A session commits after its endpoint returns and before the response is sent.",
)
async def test_an_uncommitted_deletion_has_no_effect(
    database: Database, commits: GroupCommit
) -> None:
    (task_id,) = await add_records(commits, 1, "delete")
    async with database.session() as session:
        assert await DataRepository(session).delete(task_id)
    async with database.session() as session:
        assert await DataRepository(session).get_by_task_id(task_id) is not None


async def test_logs_are_found_by_their_ids(
    database: Database, commits: GroupCommit
) -> None:
    request_id = str(uuid4())
    events = [
        LogEvent("start", "data_queue", "t", request_id),
        LogEvent("end", "data_queue", "t", request_id, "string"),
    ]
    rows = [TaskRepository.row(event, description="uppercase") for event in events]
    await commits.add(rows)
    async with database.session() as session:
        found = await TaskRepository(session).get_page(
            Page(limit=10), correlation_id=request_id
        )
    assert [log.status for log in found] == ["end", "start"]
    assert {log.description for log in found} == {"uppercase"}
    assert {log.service_name for log in found} == {"data"}


async def test_every_page_uses_the_index(
    database: Database, commits: GroupCommit
) -> None:
    """A page then costs the same for any number of rows and any starting point."""
    await add_records(commits, 2, "plan")
    for page in (Page(limit=10), Page(limit=10, before=10**9)):
        query = newest_first(DataProcessingRecord, page, {})
        compiled = query.compile(
            database.engine.sync_engine, compile_kwargs={"literal_binds": True}
        )
        async with database.session() as session:
            # As in a large table: sorting the few rows of this one costs nothing.
            await session.execute(text("SET LOCAL enable_seqscan = off"))
            await session.execute(text("SET LOCAL enable_sort = off"))
            rows = await session.execute(text(f"EXPLAIN {compiled}"))
        plan = "\n".join(row[0] for row in rows)
        assert "Only Scan Backward" in plan and "Seq Scan" not in plan


async def test_an_unfinished_record_is_found_by_its_id_index(
    database: Database,
) -> None:
    """This holds even when statistics claim that almost no row is ``Processing``."""
    query = select(DataProcessingRecord.id).where(
        DataProcessingRecord.task_id == "plan-7", not_ended()
    )
    compiled = query.compile(
        database.engine.sync_engine, compile_kwargs={"literal_binds": True}
    )
    ended = (
        "INSERT INTO data_processing_records (task_id, task_status) "
        "SELECT 'plan-' || n, 'Success' FROM generate_series(1, 5000) AS n"
    )
    async with database.session() as session:  # rolled back at the end
        await session.execute(text(ended))
        await session.execute(text("ANALYZE data_processing_records"))
        rows = await session.execute(text(f"EXPLAIN {compiled}"))
        plan = "\n".join(row[0] for row in rows)
    assert "task_id_key" in plan and "ix_records_processing" not in plan


@pytest.mark.budget("DB_READ_TIMEOUT_SECONDS")
async def test_a_slow_page_is_cancelled(
    database: Database, database_settings: DatabaseSettings
) -> None:
    """PostgreSQL cancels the query too: it does not continue there."""
    page = Page(limit=1, max_seconds=0.2)
    other = create_sync_engine(database_settings)
    with other.begin() as holder:
        holder.execute(text("LOCK TABLE task_logs IN ACCESS EXCLUSIVE MODE"))
        with pytest.raises(DatabaseUnavailable, match="longer than 0.2 s"):
            async with database.session() as session:
                await TaskRepository(session).get_page(page)
        waiting = text(
            "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' "
            "AND query LIKE '%task_logs%'"
        )
        async with asyncio.timeout(2):
            while holder.execute(waiting).scalar_one():
                await asyncio.sleep(0.02)
    async with database.session() as session:
        assert await TaskRepository(session).get_page(page) is not None
    other.dispose()


@pytest.mark.parametrize(
    ("table", "column"),
    [
        (table, column)
        for table, endpoint in (
            (DataProcessingRecord, get_records),
            (TaskLog, get_logs),
        )
        for column in inspect.signature(endpoint).parameters
        if column in table.model_fields
    ],
)
def test_every_filter_has_an_index(table: type[SQLModel], column: str) -> None:
    """The index gives the order of the list, or is on an id that few rows share."""
    stored: Table = table.__table__  # type: ignore[attr-defined]
    indexes = [list(index.columns.keys()) for index in stored.indexes]
    assert [column, "id"] in indexes or [column] in indexes


@pytest.mark.budget("MAX_PAGE_BYTES")
async def test_a_page_keeps_its_byte_budget(
    database: Database, commits: GroupCommit
) -> None:
    await add_records(commits, 5, "budget")
    async with database.session() as session:
        repository = DataRepository(session)

        async def sizes(max_bytes: int, limit: int = 10) -> tuple[int, bool]:
            page = Page(limit=limit, max_bytes=max_bytes)
            rows = await repository.get_page(page, task_type="budget")
            return len(rows), rows.has_more

        whole, has_more = await sizes(10_000)
        assert (whole, has_more) == (5, False)
        assert await sizes(1) == (1, True)
        assert await sizes(10_000, limit=5) == (5, True)
        stored = text(
            "SELECT sum(octet_length(r::text)) FROM data_processing_records r "
            "WHERE task_type = 'budget'"
        )
        exact = int(await session.scalar(stored))
        assert await sizes(exact) == (5, False)
        assert await sizes(exact - 1) == (4, True)

    events = [LogEvent("end", "q", "t", "budget") for _ in range(2)]
    await commits.add([TaskRepository.row(each, description=None) for each in events])
    async with database.session() as session:
        page = Page(limit=10, max_bytes=1)
        logs = await TaskRepository(session).get_page(page, correlation_id="budget")
    assert (len(logs), logs.has_more) == (1, True)
