"""What happens to a database in production: none of it is a bug of the request."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import psycopg2
import pytest
from pydantic import SecretStr
from sqlalchemy import text

from app.core import database_connections
from app.core.budget import Budget
from app.core.config import Settings
from app.core.database import Database, create_sync_engine, translate_errors
from app.core.database_connections import writes
from app.core.database_settings import DatabaseSettings
from app.core.exceptions import DatabaseBusy, DatabaseUnavailable
from app.infrastructure.postgres.group_commit import GroupCommit, Row
from app.models.schemas import TaskStatus
from app.repositories.data_repository import DataRepository
from app.resources import open_resources
from tests.integration.relay import Nat


def record() -> Row:
    return DataRepository.row(task_id=str(uuid4()), task_status=TaskStatus.SUCCESS)


@pytest.fixture(autouse=True)
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database_connections, "IDLE_SECONDS", 0.0)
    monkeypatch.setattr(database_connections, "PING_SECONDS", 0.5)
    monkeypatch.setattr(database_connections, "SYNC_IDLE_SECONDS", 0.0)


class Administrator:
    """Runs statements, even while the server only reads."""

    def __init__(self, settings: DatabaseSettings) -> None:
        self._arguments = settings.sync.for_psycopg2()

    def run(self, *statements: str, database: str | None = None) -> None:
        arguments = self._arguments | ({"dbname": database} if database else {})
        options = "-c default_transaction_read_only=off"
        with closing(psycopg2.connect(**arguments, options=options)) as connection:
            connection.autocommit = True
            with connection.cursor() as cursor:
                for statement in statements:
                    cursor.execute(statement)

    @contextmanager
    def until(self, do: list[str], undo: list[str]) -> Iterator[None]:
        self.run(*do)
        try:
            yield
        finally:
            self.run(*undo)

    def raising(self, sqlstate: str, condition: str = "true") -> Any:
        """Every insert of a record raises this SQLSTATE while the condition holds."""
        return self.until(
            [
                "CREATE SEQUENCE inserts",
                "CREATE FUNCTION fault() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
                f"IF {condition} THEN RAISE EXCEPTION 'x' "
                f"USING ERRCODE = '{sqlstate}'; END IF; RETURN NEW; END $$",
                "CREATE TRIGGER fault BEFORE INSERT ON data_processing_records "
                "FOR EACH ROW EXECUTE FUNCTION fault()",
            ],
            ["DROP FUNCTION fault() CASCADE", "DROP SEQUENCE inserts"],
        )


READ_ONLY = (
    [
        "ALTER SYSTEM SET default_transaction_read_only = on",
        "SELECT pg_reload_conf()",
    ],
    [
        "ALTER SYSTEM RESET default_transaction_read_only",
        "SELECT pg_reload_conf()",
    ],
)


@pytest.fixture
def administrator(database_settings: DatabaseSettings) -> Administrator:
    return Administrator(database_settings)


async def test_a_server_that_only_reads(
    database: Database, commits: GroupCommit, administrator: Administrator
) -> None:
    await commits.add([record()])
    await database.check()
    with administrator.until(*READ_ONLY):
        async with asyncio.timeout(20):
            while not writes.are_refused:  # the new setting arrives soon
                try:
                    await commits.add([record()])
                except DatabaseUnavailable as error:
                    assert "writes" in error.detail
        with pytest.raises(DatabaseUnavailable, match="writes"):
            await database.check()
        with pytest.raises(DatabaseUnavailable, match="writes"):
            async with database.session() as session:
                await session.scalar(text("CREATE TABLE t ()"))
    await commits.add([record()])
    await database.check()
    writes.accept()


async def test_no_connection_to_the_old_primary_is_used_again(
    database: Database,
) -> None:
    """A session that only reads stands for a connection to the old primary."""
    pid = text("SELECT pg_backend_pid()")
    async with database.session() as idle, database.session() as other:
        old = {await idle.scalar(pid), await other.scalar(pid)}
        await other.commit()
        await other.scalar(
            text("SELECT set_config('default_transaction_read_only', 'on', false)")
        )
        await other.commit()
        with pytest.raises(DatabaseUnavailable), translate_errors():
            await other.scalar(text("CREATE TABLE t ()"))
    async with database.session() as first, database.session() as second:
        assert old.isdisjoint({await first.scalar(pid), await second.scalar(pid)})
    writes.accept()


def test_the_worker_and_a_server_that_only_reads(
    database_settings: DatabaseSettings,
) -> None:
    engine = create_sync_engine(database_settings)
    with pytest.raises(DatabaseUnavailable, match="writes"), translate_errors():
        with engine.begin() as connection:
            connection.execute(text("SET TRANSACTION READ ONLY"))
            connection.execute(text("CREATE TABLE t ()"))
    with translate_errors(), engine.begin() as connection:
        connection.execute(text("CREATE TEMPORARY TABLE t ()"))
    engine.dispose()
    writes.accept()


async def test_a_full_disk(
    database: Database, commits: GroupCommit, administrator: Administrator
) -> None:
    with administrator.raising("53100"):
        with pytest.raises(DatabaseUnavailable, match="writes"):
            await commits.add([record()])
        assert writes.are_refused
        with pytest.raises(DatabaseUnavailable):
            async with database.session() as session:
                await DataRepository(session).try_to_write()
    async with database.session() as session:
        await DataRepository(session).try_to_write()
    writes.accept()


async def test_probes_follow_what_the_disk_accepts(
    settings: Settings, commits: GroupCommit, administrator: Administrator
) -> None:
    async with open_resources(settings, Budget(1)) as resources:

        async def becomes(is_able: bool) -> None:
            async with asyncio.timeout(20):
                while (await resources.health.report()).is_able is not is_able:
                    await asyncio.sleep(0.1)

        await becomes(True)
        for fault in (administrator.raising("53100"), administrator.until(*READ_ONLY)):
            with fault:
                with pytest.raises(DatabaseUnavailable):
                    while True:  # a new setting arrives soon
                        await commits.add([record()])
                await becomes(False)
            await becomes(True)


@pytest.mark.parametrize("sqlstate", ["40P01", "40001", "57P01"])
async def test_what_stored_nothing_is_tried_again(
    commits: GroupCommit, administrator: Administrator, sqlstate: str
) -> None:
    with administrator.raising(sqlstate, "nextval('inserts') < 3"):
        await commits.add([record()])


WAITING = "FROM pg_locks WHERE NOT granted"


async def test_a_statement_whose_session_ends_runs_in_the_next(
    database: Database, commits: GroupCommit, administrator: Administrator
) -> None:
    async with database.engine.connect() as other, database.session() as watcher:
        await other.execute(text("LOCK TABLE data_processing_records"))
        adding = asyncio.create_task(commits.add([record()]))
        while not await watcher.scalar(text(f"SELECT count(*) {WAITING}")):
            await asyncio.sleep(0.01)
        end = f"SELECT pg_terminate_backend(pid, 2000) {WAITING}"
        await asyncio.to_thread(administrator.run, end)
        await other.rollback()
        await adding


@pytest.mark.parametrize("sqlstate", ["40P01", "40001", "55P03"])
async def test_a_lock_that_stays_is_a_busy_database(
    commits: GroupCommit, administrator: Administrator, sqlstate: str
) -> None:
    with administrator.raising(sqlstate):
        with pytest.raises(DatabaseBusy):
            await commits.add([record()])


@pytest.mark.parametrize(
    "sqlstate",
    [
        *("08006", "25P03", "25P04", "26000", "42P05", "53000", "53200", "53300"),
        *("57014", "57P01", "57P02", "57P03", "57P05", "58030"),
    ],
)
@pytest.mark.parametrize("driver", ["asyncpg", "psycopg2"])
async def test_every_other_fault_is_unavailable(
    database: Database, database_settings: DatabaseSettings, driver: str, sqlstate: str
) -> None:
    statement = f"DO $$ BEGIN RAISE EXCEPTION 'x' USING ERRCODE = '{sqlstate}'; END $$"
    with pytest.raises(DatabaseUnavailable):
        if driver == "asyncpg":
            async with database.session() as session:
                await session.scalar(text(statement))
        else:
            engine = create_sync_engine(database_settings)
            with translate_errors(), engine.begin() as connection:
                connection.exec_driver_sql(statement)
    await database.check()


async def test_a_table_that_a_migration_changed(
    database: Database, administrator: Administrator
) -> None:
    """Other connections know nothing of the change, so one statement may fail."""
    query = text("SELECT * FROM changed")
    with administrator.until(["CREATE TABLE changed (a int)"], ["DROP TABLE changed"]):
        async with database.session() as session:
            await session.scalar(query)
        administrator.run("ALTER TABLE changed ALTER a TYPE text")
        for attempt in range(3):
            try:
                async with database.session() as session:
                    await session.scalar(query)
                break
            except DatabaseBusy:
                assert attempt < 2


@pytest.fixture
async def guest(
    database_settings: DatabaseSettings, administrator: Administrator
) -> AsyncIterator[Database]:
    """The database as another user sees it."""
    administrator.run("CREATE ROLE visitor LOGIN PASSWORD 'first'")
    words = database_settings.sync.words
    url = f"postgres://visitor:first@127.0.0.1:{words['port']}/{words['dbname']}"
    database = Database(DatabaseSettings(database_url=SecretStr(url)))
    yield database
    await database.close()
    administrator.run("DROP ROLE visitor")


END_SESSIONS = (
    "SELECT pg_terminate_backend(pid, 2000) FROM pg_stat_activity "
    "WHERE usename = 'visitor'"
)


async def test_sessions_that_an_administrator_ends(
    guest: Database, administrator: Administrator
) -> None:
    await guest.check()
    for _ in range(3):
        await asyncio.to_thread(administrator.run, END_SESSIONS)
        await guest.check()


@pytest.mark.parametrize(
    ("fault", "undo"),
    [
        ("PASSWORD 'second'", "PASSWORD 'first'"),
        ("CONNECTION LIMIT 0", "CONNECTION LIMIT -1"),
        ("NOLOGIN", "LOGIN"),
        ("VALID UNTIL '2000-01-01'", "VALID UNTIL 'infinity'"),
    ],
    ids=["password", "connections", "login", "expired"],
)
async def test_a_login_that_is_refused_while_running(
    guest: Database, administrator: Administrator, fault: str, undo: str
) -> None:
    await guest.check()
    administrator.run(f"ALTER ROLE visitor {fault}")
    await asyncio.to_thread(administrator.run, END_SESSIONS)
    for _ in range(2):
        with pytest.raises(DatabaseUnavailable):
            await guest.check()
    administrator.run(f"ALTER ROLE visitor {undo}")
    await guest.check()


@pytest.mark.parametrize("name", ["DATABASE_URL", "ASYNC_DATABASE_URL"])
async def test_a_new_password_in_the_file_needs_no_restart(
    database_settings: DatabaseSettings,
    administrator: Administrator,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
) -> None:
    words = database_settings.sync.words

    def url(password: str) -> str:
        place = f"127.0.0.1:{words['port']}/{words['dbname']}"
        return f"postgres://visitor:{password}@{place}"

    async def change(password: str) -> None:
        administrator.run(f"ALTER ROLE visitor PASSWORD '{password}'")
        await asyncio.to_thread(administrator.run, END_SESSIONS)

    file = tmp_path / "url"
    file.write_text(url("first"))
    monkeypatch.setenv(f"{name}_FILE", str(file))
    administrator.run("CREATE ROLE visitor LOGIN PASSWORD 'first'")
    settings = DatabaseSettings(database_url=SecretStr(url("first")))
    database, engine = Database(settings), create_sync_engine(settings)

    async def check() -> None:
        await database.check()
        if name == "DATABASE_URL":
            with translate_errors(), engine.connect() as connection:
                connection.exec_driver_sql("SELECT 1")

    try:
        await check()
        await change("second")
        with pytest.raises(DatabaseUnavailable):
            await check()
        file.write_text(url("second") + "\n")
        await check()
        await change("third")
        file.write_text("no URL")
        with pytest.raises(DatabaseUnavailable):
            await check()
        file.write_text(url("third"))
        await check()
    finally:
        await database.close()
        engine.dispose()
        administrator.run("DROP ROLE visitor")


async def test_a_database_that_is_renamed(
    database: Database,
    database_settings: DatabaseSettings,
    administrator: Administrator,
) -> None:
    await database.check()
    name = database_settings.sync.words["dbname"]
    moved = f'ALTER DATABASE "{name}" RENAME TO moved'
    end = (
        "SELECT pg_terminate_backend(pid, 2000) FROM pg_stat_activity "
        f"WHERE datname = '{name}'"
    )
    await asyncio.to_thread(administrator.run, end, moved, database="postgres")
    try:
        with pytest.raises(DatabaseUnavailable):
            await database.check()
        with pytest.raises(DatabaseUnavailable), translate_errors():
            create_sync_engine(database_settings).connect()
    finally:
        back = f'ALTER DATABASE moved RENAME TO "{name}"'
        administrator.run(back, database="postgres")
    await database.check()


def behind(settings: DatabaseSettings, port: int) -> DatabaseSettings:
    parts = urlsplit(settings.database_url.get_secret_value())
    url = parts._replace(netloc=f"{parts.username}:{parts.password}@127.0.0.1:{port}")
    return settings.model_copy(update={"database_url": SecretStr(url.geturl())})


def test_a_task_notices_a_connection_that_ended(
    database_settings: DatabaseSettings,
    administrator: Administrator,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(database_connections, "SYNC_IDLE_SECONDS", 60.0)
    engine = create_sync_engine(database_settings)
    for _ in range(2):
        with translate_errors(), engine.begin() as connection:
            pid = connection.scalar(text("SELECT pg_backend_pid()"))
        administrator.run(f"SELECT pg_terminate_backend({pid}, 2000)")
    engine.dispose()


@pytest.mark.parametrize("fault", ["drop", "reset"])
async def test_an_idle_connection_that_a_nat_forgot(
    database_settings: DatabaseSettings, fault: str
) -> None:
    async with Nat(int(database_settings.sync.words["port"])) as nat:
        settings = behind(database_settings, nat.port)
        database, engine = Database(settings), create_sync_engine(settings)
        commits = GroupCommit(database.engine)

        def work() -> None:
            with translate_errors(), engine.begin() as connection:
                connection.execute(text("SELECT 1"))

        for _ in range(3):
            getattr(nat, fault)()
            async with asyncio.timeout(5):
                await commits.add([record()])
                await asyncio.gather(database.check(), database.check())
                await asyncio.to_thread(work)
        await commits.close()
        await database.close()
        engine.dispose()


async def test_a_host_that_is_down_or_silent_does_not_hide_the_next(
    database_settings: DatabaseSettings,
) -> None:
    silent = await asyncio.start_server(lambda r, w: None, "127.0.0.1", 0)
    hole = silent.sockets[0].getsockname()[1]
    words = database_settings.sync.words
    url = (
        f"postgres://{words['user']}:{words['password']}@127.0.0.1:1,127.0.0.1:{hole},"
        f"127.0.0.1:{words['port']}/{words['dbname']}"
        "?connect_timeout=2&target_session_attrs=read-write"
    )
    settings = DatabaseSettings(database_url=SecretStr(url))
    database, engine = Database(settings), create_sync_engine(settings)
    await database.check()
    with engine.connect() as connection:
        connection.execute(text("SELECT 1"))
    await database.close()
    engine.dispose()
    silent.close()


async def test_a_primary_that_is_about_to_be_promoted_is_awaited(
    database_settings: DatabaseSettings,
) -> None:
    """The second host is away when it is asked first, and then takes connections."""
    words = database_settings.sync.words
    tried = 0

    async def pass_on(reader: Any, writer: Any) -> None:
        while data := await reader.read(65536):
            writer.write(data)
        writer.close()

    async def serve(reader: Any, writer: Any) -> None:
        nonlocal tried
        tried += 1
        if tried == 1:
            writer.close()
            return
        there = await asyncio.open_connection("127.0.0.1", int(words["port"]))
        await asyncio.gather(pass_on(reader, there[1]), pass_on(there[0], writer))

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    url = (
        f"postgres://{words['user']}:{words['password']}@127.0.0.1:1,127.0.0.1:{port}"
        f"/{words['dbname']}?target_session_attrs=read-write"
    )
    settings = DatabaseSettings(database_url=SecretStr(url))
    database, engine = Database(settings), create_sync_engine(settings)

    def work() -> None:
        with engine.connect() as connection:
            connection.execute(text("SELECT 1"))

    await database.check()
    tried = 0
    await asyncio.to_thread(work)
    await database.close()
    engine.dispose()
    server.close()


async def test_a_lone_host_that_is_down_is_not_awaited(
    database_settings: DatabaseSettings,
) -> None:
    words = database_settings.sync.words
    url = f"postgres://{words['user']}:x@127.0.0.1:1/{words['dbname']}"
    settings = DatabaseSettings(database_url=SecretStr(url), db_timeout_seconds=1000.0)
    database = Database(settings)
    with pytest.raises(DatabaseUnavailable):
        await database.check()
    await database.close()
