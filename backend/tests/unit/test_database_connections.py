"""Opening connections and finding dead ones, with SQLite's in place of PostgreSQL's."""

import asyncio
import sqlite3
from collections.abc import Callable, Coroutine
from typing import Any, Self

import asyncpg
import psycopg2
import pytest
from sqlalchemy import Engine, QueuePool, create_engine

from app.core import database_connections as module
from app.core.database_connections import (
    PAUSE_SECONDS,
    Writes,
    check_idle_connections,
    translate_failures_to_connect,
)


class Clock:
    """In place of the module ``time``."""

    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(module, "time", clock)
    return clock


@pytest.fixture
def writes(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> Writes:
    writes = Writes()
    monkeypatch.setattr(module, "writes", writes)
    return writes


# Opening.


class Driver:
    """In place of ``connect``: each call takes the next error, and succeeds without
    one."""

    def __init__(self, *errors: Exception) -> None:
        self.errors = [*errors]
        self.asked: list[tuple[Any, ...]] = []

    def connect(self, *_: object, **words: Any) -> sqlite3.Connection:
        names = ("user", "password", "host")
        self.asked.append(tuple(words[n] for n in names if n in words))
        if self.errors:
            raise self.errors.pop(0)
        return sqlite3.Connection(":memory:")


def engine_of(
    driver: Driver, monkeypatch: pytest.MonkeyPatch, *words: Any, **options: Any
) -> Engine:
    """An engine that translates failures, as RuntimeError."""
    monkeypatch.setattr(sqlite3.dbapi2, "connect", driver.connect)
    login = {"user": "u", "password": "old"}
    engine = create_engine("sqlite://", connect_args=login, poolclass=QueuePool)

    def translate(error: BaseException, detail: str) -> RuntimeError:
        return RuntimeError(f"{detail} {error}")

    translate_failures_to_connect(engine, translate, *words, **options)
    return engine


def same_login(_: list[BaseException]) -> dict[str, Any]:
    return {}


@pytest.mark.parametrize(
    "error",
    [
        sqlite3.OperationalError("gone"),
        asyncpg.TooManyConnectionsError("gone"),
        asyncpg.InterfaceError("gone"),
        asyncpg.InternalClientError("gone"),
        TimeoutError("gone"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_every_failure_to_connect_is_translated(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver = Driver(OSError("first"), error)
    places = [{"host": "a"}, {"host": "b"}]
    engine = engine_of(driver, monkeypatch, same_login, places)
    with pytest.raises(RuntimeError, match="PostgreSQL cannot be reached. gone") as e:
        engine.connect()
    assert e.value.__cause__ is error
    assert driver.asked == [("u", "old", "a"), ("u", "old", "b")]
    engine.connect().close()
    assert driver.asked[2:] == [("u", "old", "a")]


def test_a_bug_is_not_translated(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(KeyError):
        engine_of(Driver(KeyError("bug")), monkeypatch, same_login).connect()


def test_a_new_login_is_tried_and_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[BaseException] = []
    driver = Driver(OSError("refused"))

    def read_login(errors: list[BaseException]) -> dict[str, Any]:
        seen.extend(errors)
        return {"user": "u", "password": "new"}

    engine = engine_of(driver, monkeypatch, read_login)
    with engine.connect(), engine.connect():
        pass
    assert driver.asked == [("u", "old"), ("u", "new"), ("u", "new")]
    assert list(map(str, seen)) == ["refused"]


def test_all_hosts_are_tried_again_until_patience_ends(
    monkeypatch: pytest.MonkeyPatch, clock: Clock
) -> None:
    driver = Driver(*[OSError("down")] * 100)
    patience = 2 * PAUSE_SECONDS
    engine = engine_of(driver, monkeypatch, same_login, patience=patience)
    with pytest.raises(RuntimeError):
        engine.connect()
    assert clock.now == 100 + patience
    assert len(driver.asked) == 3


# Idle connections.


class Cursor(sqlite3.Cursor):
    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Connection(sqlite3.Connection):
    """With what the code uses of psycopg2's connections and SQLAlchemy's for asyncpg;
    each question takes the next error."""

    closed = 0
    is_terminated = is_in_transaction = False

    def __init__(self) -> None:
        super().__init__(":memory:")
        self.questions: list[tuple[str, float | None]] = []
        self.error: Exception | None = None

    def _ask(self, statement: str, seconds: float | None = None) -> None:
        self.questions.append((statement, seconds))
        self.is_in_transaction = seconds is None  # psycopg2 begins one
        if self.error:
            raise self.error

    def cursor(self, *_: Any) -> Any:
        asking = self

        class Asking(Cursor):
            def execute(self, statement: str, *_: Any) -> Self:
                asking._ask(statement)
                return self

        return super().cursor(Asking)

    def rollback(self) -> None:
        self.is_in_transaction = False
        super().rollback()

    def run_async(self, question: Callable[[Any], Coroutine[Any, Any, bool]]) -> bool:
        return asyncio.run(question(AsyncpgConnection(self)))


class AsyncpgConnection:
    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def execute(self, statement: str, *, timeout: float) -> None:
        self._connection._ask(statement, timeout)

    def is_closed(self) -> bool:
        return bool(self._connection.closed)

    def terminate(self) -> None:
        self._connection.closed = 1
        self._connection.is_terminated = True


class Pool:
    """Of one connection, as an engine has it."""

    def __init__(self, is_async: bool) -> None:
        self._engine = create_engine(
            "sqlite://", creator=Connection, poolclass=QueuePool, pool_size=1
        )
        self._engine.dialect.is_async = is_async
        check_idle_connections(self._engine)
        self.first = self.use()
        self.first.questions.clear()  # SQLAlchemy's own, when it connects

    def use(self) -> Connection:
        """The connection that leaves the pool, and comes back."""
        borrowed = self._engine.raw_connection()
        connection: Any = borrowed.dbapi_connection
        borrowed.close()
        assert isinstance(connection, Connection)
        return connection

    def is_within_transaction(self) -> bool:
        """Whether the next user finds one, which began before."""
        borrowed = self._engine.raw_connection()
        connection: Any = borrowed.dbapi_connection
        found = connection.is_in_transaction
        borrowed.close()
        return bool(found)


@pytest.fixture(params=[False, True], ids=["psycopg2", "asyncpg"])
def is_async(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


def test_a_connection_is_asked_after_an_idle_time(
    clock: Clock, writes: Writes, is_async: bool
) -> None:
    pool = Pool(is_async)
    clock.now += 0.9
    assert pool.use() is pool.first and pool.first.questions == []
    clock.now += 1
    assert pool.use() is pool.first
    assert pool.first.questions == [("SELECT 1", 2.0 if is_async else None)]
    clock.now += 1
    assert not pool.is_within_transaction()


@pytest.mark.parametrize(
    ("is_async", "error"),
    [
        (False, psycopg2.OperationalError()),
        (True, asyncpg.InterfaceError("")),
        (True, asyncpg.AdminShutdownError("")),
        (True, TimeoutError()),
        (True, RuntimeError("the handler is closed")),
    ],
    ids=repr,
)
def test_one_that_does_not_answer_is_replaced(
    clock: Clock, writes: Writes, is_async: bool, error: Exception
) -> None:
    pool = Pool(is_async)
    pool.first.error = error
    clock.now += 1
    assert pool.use() is not pool.first
    assert pool.first.is_terminated is is_async


@pytest.mark.parametrize("idle", [0, 1])
def test_one_that_is_closed_is_replaced_unasked(
    clock: Clock, writes: Writes, is_async: bool, idle: float
) -> None:
    pool = Pool(is_async)
    pool.first.closed = 1
    clock.now += idle
    assert pool.use() is not pool.first
    assert pool.first.questions == []


def test_psycopg2_does_not_ask_after_a_long_time(clock: Clock, writes: Writes) -> None:
    pool = Pool(is_async=False)
    clock.now += 5
    assert pool.use() is not pool.first
    assert pool.first.questions == []


def test_no_connection_outlives_a_refused_write(
    clock: Clock, writes: Writes, is_async: bool
) -> None:
    pool = Pool(is_async)
    writes.refuse()
    clock.now += 0.1
    new = pool.use()
    assert new is not pool.first
    assert pool.use() is new
    writes.accept()
    assert not writes.are_refused
    assert pool.use() is new


def test_a_connection_in_constant_use_is_not_asked(
    clock: Clock, writes: Writes, is_async: bool
) -> None:
    """Idle time counts from its last use, not from its opening."""
    pool = Pool(is_async)
    for _ in range(7):
        clock.now += 0.9
        assert pool.use() is pool.first
    assert pool.first.questions == []


def test_one_that_was_in_use_when_a_write_was_refused_is_replaced(
    clock: Clock, writes: Writes, is_async: bool
) -> None:
    """It comes back after the refusal, and leads to the same server."""
    pool = Pool(is_async)
    borrowed = pool._engine.raw_connection()
    clock.now += 0.1
    writes.refuse()
    clock.now += 0.1
    borrowed.close()
    assert pool.use() is not pool.first
