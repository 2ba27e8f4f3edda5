"""Commits the rows of concurrent requests together.

A commit costs the database one disk flush whatever it contains, so requests that arrive
during one commit share the next. Each waits until its own rows are committed; a lone
request never waits for company.
"""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Sequence
from contextlib import AbstractContextManager
from contextvars import Context
from typing import Any, NamedTuple

import asyncpg
from opentelemetry import trace
from opentelemetry.trace import Span
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
from sqlmodel import SQLModel

from app.core.database import translate_errors
from app.core.database_connections import OPENED, is_alive, writes
from app.core.exceptions import (
    DatabaseBusy,
    DatabaseUnavailable,
    TooManyInFlight,
)
from app.infrastructure.postgres.bulk_insert import bulk_insert
from chassis import json_aside
from chassis.telemetry import tracing

MAX_BATCH = 100
MAX_WAITING = 2000
RETRIES = 2  # of a statement that certainly stored nothing
# The statement was not sent, or the server stopped and ended its transaction. (A server
# that had committed, and only waited for its replica, would close the connection.)
NOT_STORED = (asyncpg.InternalClientError, asyncpg.AdminShutdownError)

# SQLAlchemy's logger, for SQL_ECHO: the statement bypasses SQLAlchemy.
echo = logging.getLogger("sqlalchemy.engine.Engine")

_batches = tracing.histogram(
    "app.group_commit.batch.size",
    "Requests whose rows were committed together.",
    unit="{request}",
    bounds=(1, 2, 5, 10, 20, 50, 100),
)


class Row(NamedTuple):
    """The values of one new row. All rows of a table have the same columns."""

    table: type[SQLModel]
    values: dict[str, Any]


class _Write(NamedTuple):
    rows: Sequence[Row]
    done: asyncio.Future[None]
    origin: Span | None


class GroupCommit:
    """Commits rows in order of arrival.

    One statement runs at a time; at most ``MAX_BATCH`` requests share it.
    """

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._waiting: deque[_Write] = deque()
        self._writer: asyncio.Task[None] | None = None
        self._connection: AsyncConnection | None = None
        self._driver: Any = None
        self._opened = self._used = 0.0

    async def add(self, rows: Sequence[Row]) -> None:
        """Store ``rows``, all or none; returns when they are committed.

        Cancelling the caller does not withdraw its rows.

        Raises:
            DatabaseUnavailable: nothing was stored, unless the connection broke during
                the commit: then the rows may or may not be there.
            AlreadyStored: a unique value already exists; nothing was stored.
            DatabaseBusy: other transactions were in the way; nothing was stored.
            TooManyInFlight: too many requests already wait for a commit.
        """
        if len(self._waiting) >= MAX_WAITING:
            raise TooManyInFlight(
                "Too many requests wait for PostgreSQL to store their rows."
            )
        done = asyncio.get_running_loop().create_future()
        origin = trace.get_current_span() if tracing.is_enabled() else None
        self._waiting.append(_Write(rows, done, origin))
        if self._writer is None:
            # The task serves other requests too: it must not inherit this one's
            # context.
            self._writer = asyncio.create_task(self._write_all(), context=Context())
        await done

    async def close(self) -> None:
        """Commit what remains, and close the connection."""
        while self._writer is not None:
            await asyncio.wait({self._writer})
        await self._disconnect()

    async def _write_all(self) -> None:
        try:
            while self._waiting:
                size = min(len(self._waiting), MAX_BATCH)
                await self._write([self._waiting.popleft() for _ in range(size)])
        finally:
            self._writer = None

    async def _write(self, batch: Sequence[_Write]) -> None:
        try:
            await self._commit(batch)
        except (DatabaseUnavailable, DatabaseBusy) as error:
            for write in batch:
                _finish(write, error)
        except Exception as error:
            if len(batch) == 1:
                _finish(batch[0], error)
            else:  # one row is bad: only its request must fail
                for write in batch:
                    await self._write([write])
        else:
            for write in batch:
                _finish(write)

    async def _commit(self, batch: Sequence[_Write]) -> None:
        tables: dict[type[SQLModel], list[dict[str, Any]]] = {}
        for write in batch:
            for table, values in write.rows:
                tables.setdefault(table, []).append(values)
        columns = tuple((table, tuple(many[0])) for table, many in tables.items())
        statement = bulk_insert(columns, self._engine.dialect)
        if self._engine.echo:
            echo.info(statement.sql)
        contents = [row.values for write in batch for row in write.rows]
        with _traced_batch(batch):
            if json_aside.is_large(*contents):
                parameters = await json_aside.run(statement.parameters, tables)
            else:
                parameters = statement.parameters(tables)
            for _ in range(RETRIES):
                try:
                    return await self._execute(statement.sql, parameters)
                except DatabaseBusy:
                    continue
                except DatabaseUnavailable as error:
                    if not _stored_nothing(error):
                        raise
            await self._execute(statement.sql, parameters)

    async def _execute(self, sql: str, parameters: Sequence[Any]) -> None:
        with translate_errors():
            driver = await self._connect()
            try:
                # Outside a transaction block, one statement is one transaction.
                # SQLAlchemy is bypassed: it would take a quarter of the time of a lone
                # commit.
                await driver.execute(sql, *parameters)
            except OSError:  # no answer: the next statement would wait as long
                driver.terminate()
                await self._disconnect()
                raise
            except BaseException:
                await self._disconnect()
                raise
            self._used = time.monotonic()

    async def _connect(self) -> Any:
        """asyncpg's connection from the pool, kept from batch to batch."""
        if self._connection is not None and (
            writes.were_refused_since(self._opened)
            or not await is_alive(self._driver, time.monotonic() - self._used)
        ):
            await self._disconnect()
        if self._connection is None:
            self._connection = await self._engine.connect()
            raw = await self._connection.get_raw_connection()
            self._driver, self._opened = raw.driver_connection, raw.info[OPENED]
            self._used = time.monotonic()
        return self._driver

    async def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()


def _traced_batch(batch: Sequence[_Write]) -> AbstractContextManager[object]:
    """A span around the commit, if one of its requests is traced."""
    if not tracing.is_enabled():
        return tracing.NOTHING
    _batches.record(len(batch))
    origins = [write.origin for write in batch if write.origin is not None]
    if not (kept := [origin for origin in origins if origin.is_recording()]):
        return tracing.NOTHING
    attributes = {"app.batch.size": len(batch)}
    return tracing.shared_span("group commit", kept, attributes)


def _stored_nothing(error: BaseException | None) -> bool:
    while error is not None:
        if isinstance(error, NOT_STORED):
            return True
        error = error.__cause__
    return False


def _finish(write: _Write, error: Exception | None = None) -> None:
    if write.done.done():  # its request was cancelled
        return
    if error is None:
        write.done.set_result(None)
    else:
        write.done.set_exception(error)
