"""Opens connections, and finds those that no longer serve before a request uses one.

A firewall or a NAT drops idle connections, often in silence; after a failover, a
connection may still lead to a server that only reads.
"""

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import asyncpg
import psycopg2
from sqlalchemy import Engine, event
from sqlalchemy.exc import InvalidatePoolError
from sqlalchemy.util import await_only

# A connection that was idle for longer is asked whether it still serves.
IDLE_SECONDS = 1.0
PING_SECONDS = 2.0
# psycopg2 cannot limit the wait for an answer. Nothing drops a connection so soon;
# later, it opens another one.
SYNC_IDLE_SECONDS = 5.0

OPENED, RETURNED = "opened", "returned"

# Before the hosts are asked again which of them is the primary.
PAUSE_SECONDS = 0.2

# InternalClientError: it was closed just before the statement was sent.
ASYNCPG_ERRORS = (
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
)

Translate = Callable[[BaseException, str], BaseException]
#: User and password for a driver, under the names that both drivers have.
Login = Mapping[str, Any]


class Writes:
    """Whether the server accepts writes, as far as this process knows."""

    def __init__(self) -> None:
        self.are_refused = False
        self._refused_at = 0.0

    def refuse(self) -> None:
        """The server only reads, or its disk is full. Each connection that is open now
        may lead to a server that is no longer the primary."""
        self.are_refused, self._refused_at = True, time.monotonic()

    def accept(self) -> None:
        """A write succeeded."""
        self.are_refused = False

    def were_refused_since(self, opened: float) -> bool:
        """Whether a connection is older than the last refusal."""
        return opened <= self._refused_at


writes = Writes()


def translate_failures_to_connect(
    engine: Engine,
    translate: Translate,
    read_login: Callable[[list[BaseException]], Login],
    attempts: Iterable[Mapping[str, Any]] = ({},),
    *,
    patience: float = 0.0,
) -> None:
    """Raise ``translate``'s error for whatever happens while a connection opens: no
    request is to blame. Each attempt has arguments of its own.

    If all fail, ``read_login`` may know another login, which is then tried and kept.
    Otherwise all are tried again for ``patience`` seconds.
    """
    attempts, login = list(attempts), dict[str, Any]()

    @event.listens_for(engine, "do_connect")
    def connect(dialect: Any, _: Any, words: Any, arguments: dict[str, Any]) -> Any:
        failures = (dialect.loaded_dbapi.Error, *ASYNCPG_ERRORS, OSError)
        until = time.monotonic() + patience
        while True:
            used, errors = {**arguments, **login}, []
            for place in attempts:
                try:
                    return dialect.connect(*words, **{**used, **place})
                except failures as error:
                    errors.append(error)
            new = read_login(errors)
            if all(used.get(word) == value for word, value in new.items()):
                if time.monotonic() < until:
                    _pause(dialect)
                    continue
                raise translate(errors[-1], "PostgreSQL cannot be reached.") from (
                    errors[-1]
                )
            login.update(new)


def _pause(dialect: Any) -> None:
    if dialect.is_async:
        await_only(asyncio.sleep(PAUSE_SECONDS))
    else:
        time.sleep(PAUSE_SECONDS)


def check_idle_connections(engine: Engine) -> None:
    """Replace a connection that does not answer when it leaves the pool."""

    @event.listens_for(engine, "connect")
    def opened(_: Any, record: Any) -> None:
        record.info[OPENED] = time.monotonic()

    @event.listens_for(engine, "checkin")
    def returned(_: Any, record: Any) -> None:
        record.info[RETURNED] = time.monotonic()

    @event.listens_for(engine, "checkout")
    def check(connection: Any, record: Any, _: Any) -> None:
        if RETURNED not in record.info:  # it has just been opened
            return
        idle = time.monotonic() - record.info[RETURNED]
        if engine.dialect.is_async:
            answers = connection.run_async(lambda driver: is_alive(driver, idle))
        else:
            answers = idle < SYNC_IDLE_SECONDS and _answers(connection, idle)
        if not answers or writes.were_refused_since(record.info[OPENED]):
            raise InvalidatePoolError()


def _answers(connection: psycopg2.extensions.connection, idle: float) -> bool:
    if not connection.closed and idle >= IDLE_SECONDS:
        try:
            with connection.cursor() as cursor:
                cursor.execute("SELECT 1")
            connection.rollback()
        except psycopg2.Error:
            return False
    return not connection.closed


async def is_alive(driver: asyncpg.Connection, idle: float) -> bool:
    """Whether a connection answers; it is asked only after an idle time."""
    if not driver.is_closed() and idle >= IDLE_SECONDS:
        try:
            await driver.execute("SELECT 1", timeout=PING_SECONDS)
        except (*ASYNCPG_ERRORS, OSError, RuntimeError):  # see broken_transports.py
            driver.terminate()  # closing it would wait for an answer
    return not driver.is_closed()
