"""What engines ask of SQLAlchemy and of the drivers; no server is needed."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

import asyncpg
import psycopg2
import pytest
from pydantic import SecretStr
from sqlalchemy.ext.asyncio import create_async_engine
from sqlmodel import create_engine
from sqlmodel.ext.asyncio.session import AsyncSession

from app.core import database, database_connections
from app.core.database import Database, create_sync_engine, to_json
from app.core.database_connections import Writes
from app.core.database_settings import DatabaseSettings
from app.core.exceptions import DatabaseUnavailable

URL = "postgresql://u:old@h:5433/d"
REFUSED = {
    "psycopg2": psycopg2.OperationalError("password authentication failed for u"),
    "asyncpg": asyncpg.InvalidPasswordError("password authentication failed"),
}


def settings_of(url: str = URL, **others: Any) -> DatabaseSettings:
    return DatabaseSettings(database_url=SecretStr(url), **others)


class Driver:
    """In place of both drivers' ``connect``: records what it is asked for, and
    fails."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []
        self.error: Exception = ConnectionRefusedError("refused")

    def connect(self, *_: object, **arguments: Any) -> None:
        self.asked.append(arguments)
        raise self.error


class Created:
    """Records how SQLAlchemy is asked for engines."""

    def __init__(self, create: Any) -> None:
        self._create = create
        self.options: dict[str, Any] = {}

    def __call__(self, url: str, **options: Any) -> Any:
        self.options = options
        return self._create(url, **options)


@pytest.fixture
def driver(monkeypatch: pytest.MonkeyPatch) -> Driver:
    driver = Driver()
    monkeypatch.setattr(psycopg2, "connect", driver.connect)
    monkeypatch.setattr(asyncpg, "connect", driver.connect)
    monkeypatch.setattr(database_connections, "PAUSE_SECONDS", 0)
    return driver


@pytest.fixture
def created(monkeypatch: pytest.MonkeyPatch) -> Created:
    created = Created(create_engine)
    monkeypatch.setattr(database, "create_engine", created)
    return created


@pytest.fixture
def created_async(monkeypatch: pytest.MonkeyPatch) -> Created:
    created = Created(create_async_engine)
    monkeypatch.setattr(database, "create_async_engine", created)
    return created


async def fail_to_connect(kind: str, settings: DatabaseSettings) -> None:
    if kind == "psycopg2":
        with pytest.raises(DatabaseUnavailable, match="cannot be reached"):
            create_sync_engine(settings).connect()
    else:
        with pytest.raises(DatabaseUnavailable, match="cannot be reached"):
            async with Database(settings).engine.connect():
                pass


both = pytest.mark.parametrize("kind", ["psycopg2", "asyncpg"])


# What SQLAlchemy and the drivers get.


def test_both_engines_have_the_pool_of_the_settings(
    created: Created, created_async: Created
) -> None:
    settings = settings_of(
        db_pool_size=3, db_max_overflow=4, db_timeout_seconds=5, sql_echo=True
    )
    wanted = {
        "pool_size": 3,
        "max_overflow": 4,
        "pool_timeout": 5,
        "echo": True,
        "json_serializer": to_json,
    }
    create_sync_engine(settings)
    Database(settings)
    assert created.options.items() >= wanted.items()
    assert created_async.options.items() >= wanted.items()
    create_sync_engine(settings, pool_size=1)
    assert created.options.items() >= {**wanted, "pool_size": 1}.items()


async def test_the_drivers_get_place_login_and_limits(driver: Driver) -> None:
    settings = settings_of(f"{URL}?connect_timeout=7", db_timeout_seconds=5)
    for kind in ("psycopg2", "asyncpg"):
        await fail_to_connect(kind, settings)
    sync, asynchronous = driver.asked
    place = {"host": "h", "port": "5433", "user": "u", "password": "old"}
    assert sync.items() >= {**place, "dbname": "d", "connect_timeout": "7"}.items()
    assert sync["options"] == "-c statement_timeout=5.000s"
    assert (
        asynchronous.items()
        >= {**place, "port": 5433, "database": "d", "timeout": 7}.items()
    )
    assert asynchronous["command_timeout"] == 5
    assert "statement_cache_size" not in asynchronous


def test_options_of_the_url_come_after_the_limit_of_statements(driver: Driver) -> None:
    settings = settings_of(f"{URL}?options=-csearch_path%3Dx")
    with pytest.raises(DatabaseUnavailable):
        create_sync_engine(settings, statement_seconds=0).connect()
    options = "-c statement_timeout=0.000s -csearch_path=x"
    assert driver.asked[0]["options"] == options


def began(settings: DatabaseSettings, **options: Any) -> list[str]:
    """The statements with which a transaction begins."""
    statements: list[str] = []
    engine = create_sync_engine(settings, **options)
    engine.dispatch.begin(SimpleNamespace(exec_driver_sql=statements.append))
    return statements


def test_a_pooler_gets_the_limit_in_each_transaction(
    driver: Driver, created: Created
) -> None:
    own = {"isolation_level": "AUTOCOMMIT", "skip_autocommit_rollback": True}
    assert began(settings_of(), **own) == []
    assert created.options.items() >= own.items()

    pooled = settings_of(db_transaction_pooler=True, db_timeout_seconds=5)
    assert began(pooled) == ["SET LOCAL statement_timeout = '5.000s'"]
    assert began(pooled, **own) == ["SET LOCAL statement_timeout = '5.000s'"]
    assert not own.keys() & created.options.keys()
    with pytest.raises(DatabaseUnavailable):
        create_sync_engine(pooled).connect()
    assert "options" not in driver.asked[0]


def test_a_pooler_gets_no_prepared_statements(created_async: Created) -> None:
    Database(settings_of(db_transaction_pooler=True))
    arguments = created_async.options["connect_args"]
    assert arguments["statement_cache_size"] == 0
    assert arguments["prepared_statement_cache_size"] == 0
    assert arguments["prepared_statement_name_func"]() == ""


async def test_what_breaks_while_a_session_ends_is_an_outage_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It then gives its connection back, which may be lost by now."""

    async def close(_: AsyncSession) -> None:
        raise asyncpg.ConnectionDoesNotExistError("gone")

    monkeypatch.setattr(AsyncSession, "close", close)
    with pytest.raises(DatabaseUnavailable):
        async with Database(settings_of()).session():
            pass


async def test_a_session_keeps_its_rows_after_a_commit() -> None:
    made = Database(settings_of())
    async with made.session() as session:
        assert isinstance(session, AsyncSession)
        assert session.bind is made.engine
        assert not session.sync_session.expire_on_commit


# What happens when there is no connection.


@both
async def test_a_changed_password_is_read_again(
    driver: Driver, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    changed = settings_of("postgresql://u:new@h/d")
    monkeypatch.setattr(DatabaseSettings, "read_again", lambda _: changed)
    await fail_to_connect(kind, settings_of())
    assert [each["password"] for each in driver.asked] == ["old"]  # it is just down
    driver.asked.clear()
    driver.error = REFUSED[kind]
    await fail_to_connect(kind, settings_of())
    assert [each["password"] for each in driver.asked] == ["old", "new"]


async def test_asyncpg_gets_one_host_after_the_other(driver: Driver) -> None:
    # The time to wait for another primary is over when the first round ends.
    settings = settings_of("postgresql://a:1,b:2/d", db_timeout_seconds=1e-9)
    await fail_to_connect("asyncpg", settings)
    assert [(each["host"], each["port"]) for each in driver.asked[:2]] == [
        ("a", 1),
        ("b", 2),
    ]


async def test_waiting_for_a_primary_does_not_block_the_loop(
    driver: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    def block(_: float) -> None:
        raise AssertionError

    monkeypatch.setattr(time, "sleep", block)
    settings = settings_of("postgresql://a,b/d", db_timeout_seconds=0.02)
    await fail_to_connect("asyncpg", settings)
    assert len(driver.asked) > 2


class ServerError(Exception):
    """As both drivers' errors have it."""

    def __init__(self, sqlstate: str) -> None:
        self.sqlstate = sqlstate


@pytest.mark.parametrize(
    ("error", "is_lost", "are_all_lost"),
    [
        (ServerError("25006"), True, True),  # it only reads
        (ServerError("53100"), True, True),  # its disk is full
        (TimeoutError(), True, False),
        (ServerError("23505"), False, True),
    ],
)
def test_connections_that_no_longer_serve_are_discarded(
    error: Exception, is_lost: bool, are_all_lost: bool
) -> None:
    context = SimpleNamespace(
        original_exception=error,
        is_disconnect=False,
        invalidate_pool_on_disconnect=True,
    )
    create_sync_engine(settings_of()).dialect.dispatch.handle_error(context)
    assert context.is_disconnect is is_lost
    assert context.invalidate_pool_on_disconnect is are_all_lost


@pytest.mark.parametrize(("read_only", "is_refused"), [("on", True), ("off", False)])
async def test_a_server_that_only_reads_is_down(
    monkeypatch: pytest.MonkeyPatch, read_only: str, is_refused: bool
) -> None:
    asked = []

    async def scalar(statement: object) -> str:
        asked.append(str(statement))
        return read_only

    @asynccontextmanager
    async def session(_: Database) -> AsyncIterator[object]:
        yield SimpleNamespace(scalar=scalar)

    writes = Writes()
    monkeypatch.setattr(database, "writes", writes)
    monkeypatch.setattr(Database, "session", session)
    check = Database(settings_of()).check()
    if is_refused:
        with pytest.raises(DatabaseUnavailable, match="accepts no writes"):
            await check
    else:
        await check
    assert writes.are_refused is is_refused
    assert asked == ["SHOW transaction_read_only"]
