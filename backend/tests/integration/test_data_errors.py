"""Values that PostgreSQL refuses, in the unchecked endpoints of `tests.team`."""

from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import pytest
from httpx2 import ASGITransport, AsyncClient
from sqlalchemy import BigInteger, String, cast, create_engine
from sqlalchemy.exc import ProgrammingError
from sqlmodel import select

from app.core.database import Database, translate_errors
from app.core.database_settings import DatabaseSettings
from app.core.exceptions import AlreadyStored, BrokenReference, Conflict, Unstorable
from app.infrastructure.postgres.group_commit import GroupCommit
from app.models.schemas import TaskStatus
from app.repositories.data_repository import DataRepository
from local.tests.troubleshooting import explanation
from tests.team import PREFIX, create_team_app


@pytest.fixture
async def client(database: Database) -> AsyncIterator[AsyncClient]:
    app = create_team_app()
    app.state.resources = SimpleNamespace(database=database)
    transport = ASGITransport(app, raise_app_exceptions=False)
    async with AsyncClient(transport=transport, base_url="http://test") as client:
        yield client


async def test_valid_values_are_answered(client: AsyncClient) -> None:
    answer = await client.get(f"{PREFIX}/stored?word=a&big={2**63 - 1}&offset=2")
    assert answer.json() == [f"a{2**63 - 1}"]


@pytest.mark.promise("ARCHITECTURE.md", "is also a 422")
@pytest.mark.parametrize(
    "query",
    [
        *(f"big={2**63}", f"big={-(2**63) - 1}", f"big={10**40}"),
        *(f"limit={2**63}", f"offset={10**30}", "limit=-1", "offset=-1"),
    ],
)
async def test_numbers_out_of_range(client: AsyncClient, query: str) -> None:
    await assert_unstorable(client, "GET", f"stored?{query}")


@pytest.mark.promise("ARCHITECTURE.md", "is also a 422")
@pytest.mark.parametrize(
    ("title", "note"), [("a\0b", b""), ("a", b"a\0b")], ids=["form", "header"]
)
async def test_nul(client: AsyncClient, title: str, note: bytes) -> None:
    options: dict[str, Any] = {"data": {"title": title}, "headers": {"X-Note": note}}
    await assert_unstorable(client, "POST", "stored", **options)


async def assert_unstorable(
    client: AsyncClient, method: str, path: str, **options: Any
) -> None:
    answer = await client.request(method, f"{PREFIX}/{path}", **options)
    assert answer.status_code == 422, answer.text
    assert answer.json()["code"] == "unstorable_value"
    # The connection still works.
    assert (await client.get(f"{PREFIX}/stored")).json() == ["0"]


@pytest.mark.parametrize("word", ["\0", "\ud800"])
async def test_invalid_text_is_refused(database: Database, word: str) -> None:
    with pytest.raises(Unstorable):
        async with database.session() as session:
            await session.exec(select(cast(word, String)))


@pytest.mark.parametrize("task_id", ["\0", "\ud800"])
async def test_rows_of_group_commit(commits: GroupCommit, task_id: str) -> None:
    row = DataRepository.row(task_id=task_id, task_status=TaskStatus.SUCCESS)
    with pytest.raises(Unstorable):
        await commits.add([row])


TABLES = """
CREATE TEMPORARY TABLE buyers (id int PRIMARY KEY, email text UNIQUE);
CREATE TEMPORARY TABLE orders (buyer int REFERENCES buyers (id));
INSERT INTO buyers VALUES (1, 'a');
INSERT INTO orders VALUES (1)
"""


@pytest.mark.parametrize(
    ("statement", "meaning"),
    [
        ("INSERT INTO buyers VALUES (1, 'b')", AlreadyStored),
        ("INSERT INTO buyers VALUES (2, 'a')", AlreadyStored),
        ("INSERT INTO orders VALUES (7)", BrokenReference),
        ("DELETE FROM buyers", BrokenReference),
    ],
)
async def test_rows_that_are_there_do_not_allow_it(
    database: Database, statement: str, meaning: type[Conflict]
) -> None:
    with pytest.raises(meaning):
        async with database.session() as session:
            connection = await session.connection()
            for each in (*TABLES.split(";"), statement):
                await connection.exec_driver_sql(each)


@pytest.mark.parametrize(
    ("query", "missing"),
    [("SELECT 1 FROM trials", "trials"), ("SELECT due FROM pg_class", "due")],
)
async def test_a_database_that_is_not_migrated_is_told(
    database: Database, query: str, missing: str, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(ProgrammingError):
        async with database.session() as session:
            await (await session.connection()).exec_driver_sql(query)
    (line,) = caplog.messages
    assert missing in line and "`make migrate`" in line
    assert "make migrate" in explanation(line)


def test_the_sync_engine(database_settings: DatabaseSettings) -> None:
    engine = create_engine(database_settings.sync_url)
    with pytest.raises(Unstorable), translate_errors(), engine.begin() as connection:
        connection.execute(select(cast(2**63, BigInteger)))
    engine.dispose()
