"""PostgreSQL: engines, sessions, and the translation of their errors.

Requests use the async engine (asyncpg), so that a query never blocks the event
loop. The Celery worker and Alembic use the sync one (psycopg2): they have no loop.
"""

import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import asyncpg
import psycopg2
from sqlalchemy import Engine
from sqlalchemy.exc import (
    DBAPIError,
    InterfaceError,
    OperationalError,
    PendingRollbackError,
    StatementError,
)
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncEngine, async_sessionmaker, create_async_engine
from sqlmodel import create_engine
from sqlmodel.ext.asyncio.session import AsyncSession
from starlette.requests import HTTPConnection

from app.core.config import DatabaseSettings
from app.core.exceptions import (
    AlreadyStored,
    ApplicationError,
    BrokenReference,
    DatabaseUnavailable,
    Unstorable,
)
from chassis import json_text
from chassis.outages import Outage

# Classes of SQLSTATE that only the opening of a connection meets: login, database.
REFUSED_STATES = ("28", "3D")
# What psycopg2 has of these is their text: it knows no state of them.
REFUSED_TEXTS = ("authentication failed", 'database "', 'role "')
ADVICE = "check user, password and database of DATABASE_URL"

# Classes of SQLSTATE: connection, resources, and operator intervention (starting up,
# shutting down, statement time-out). See "PostgreSQL Error Codes" in its manual.
UNAVAILABLE_STATES = ("08", "53", "57", *REFUSED_STATES)

UNIQUE_VIOLATION = "23505"
FOREIGN_KEY_VIOLATION = "23503"

# A table or a column that the code knows and the database does not.
MISSING_STATES = ("42P01", "42703")

# Data: too long, out of range, U+0000, no date, a negative LIMIT.
DATA_STATES = "22"

to_json = json_text.dumps

logger = logging.getLogger(__name__)


def create_sync_engine(settings: DatabaseSettings, **options: Any) -> Engine:
    """Engine of the worker and of the migrations. Connects on first use."""
    defaults: dict[str, Any] = {
        "echo": settings.sql_echo,
        "pool_size": settings.db_pool_size,
        "max_overflow": settings.db_max_overflow,
        "pool_pre_ping": True,
        "pool_timeout": settings.db_timeout_seconds,
        "json_serializer": to_json,
        "connect_args": {
            "connect_timeout": 3,
            "options": f"-c statement_timeout={settings.db_timeout_seconds:.3f}s",
        },
    }
    return create_engine(settings.sync_url, **defaults | options)


class Database:
    """The async engine of one process, and its sessions."""

    def __init__(self, settings: DatabaseSettings) -> None:
        self.engine: AsyncEngine = create_async_engine(
            settings.async_url,
            echo=settings.sql_echo,
            pool_size=settings.db_pool_size,
            max_overflow=settings.db_max_overflow,
            pool_pre_ping=True,
            pool_timeout=settings.db_timeout_seconds,
            json_serializer=to_json,
            connect_args={"timeout": 3, "command_timeout": settings.db_timeout_seconds},
        )
        self._new_session = async_sessionmaker(
            self.engine, class_=AsyncSession, expire_on_commit=False
        )

    @asynccontextmanager
    async def session(self) -> AsyncIterator[AsyncSession]:
        """A session that is rolled back unless its user commits.

        Raises:
            DatabaseUnavailable: no connection, or no answer in time.
            AlreadyStored, BrokenReference: rows that are there do not allow it.
            Unstorable: a value that no column takes.
        """
        with translate_errors():
            async with self._new_session() as session:
                yield session

    async def close(self) -> None:
        """Give the connections back."""
        await self.engine.dispose()


async def get_async_session(connection: HTTPConnection) -> AsyncIterator[AsyncSession]:
    """FastAPI dependency: one session for one request.

    It commits when the endpoint returns and before the answer is sent, if used with
    ``scope="function"`` (see ``SessionDep``); an exception rolls back.
    """
    async with connection.app.state.resources.database.session() as session:
        yield session
        await session.commit()


_outage = Outage("PostgreSQL")


def _unavailable(error: BaseException, detail: str) -> DatabaseUnavailable:
    """The error to raise; the process says once that PostgreSQL is lost."""
    # SQLAlchemy's own text quotes statement and values.
    cause: BaseException = getattr(error, "orig", None) or error
    state = getattr(cause, "sqlstate", None) or ""
    is_refused = state.startswith(REFUSED_STATES) or any(
        text in str(cause) and isinstance(cause, psycopg2.OperationalError)
        for text in REFUSED_TEXTS
    )
    _outage.lost(cause, ADVICE if is_refused else None)
    return DatabaseUnavailable(detail)


@contextmanager
def translate_errors() -> Iterator[None]:
    """Turn "the database is not there" in all its spellings into one error, and give
    a duplicate, a broken reference, and a value that no column takes one each.

    Mistakes of ours (an unknown column, another broken constraint) pass unchanged.
    """
    try:
        yield
        _outage.restored()
    except PoolTimeoutError as error:  # all connections are busy: none is lost
        raise DatabaseUnavailable("No connection to PostgreSQL is free.") from error
    except (OSError, TimeoutError) as error:
        raise _unavailable(error, "PostgreSQL cannot be reached.") from error
    except PendingRollbackError as error:
        raise _unavailable(error, "PostgreSQL did not answer.") from error
    except StatementError as error:
        is_lost = isinstance(error, OperationalError | InterfaceError) or (
            isinstance(error, DBAPIError) and error.connection_invalidated
        )
        if meaning := _meaning(error.orig, is_lost):
            raise meaning from error
        raise
    # What follows comes from the driver itself: group commit uses it.
    except (
        asyncpg.PostgresError,
        asyncpg.InterfaceError,
        # If PostgreSQL says goodbye just as the statement is to be sent.
        asyncpg.InternalClientError,
    ) as error:
        if meaning := _meaning(error, not isinstance(error, asyncpg.PostgresError)):
            raise meaning from error
        raise


def _meaning(error: BaseException | None, is_lost: bool) -> ApplicationError | None:
    """What the driver's error is to us; ``is_lost`` if it is one of the connection."""
    state = getattr(error, "sqlstate", None) or getattr(error, "pgcode", None) or ""
    # asyncpg refuses some values before it sends them; SQLAlchemy hides its error.
    causes = (error, getattr(error, "__cause__", None))
    if state.startswith(DATA_STATES) or any(isinstance(c, ValueError) for c in causes):
        # The error's own text quotes the value.
        logger.warning("PostgreSQL takes no such value (SQLSTATE %s)", state or "none")
        return Unstorable(
            "A value is too long, out of range, or text that PostgreSQL cannot store."
        )
    if state == UNIQUE_VIOLATION:
        return AlreadyStored("A row with that id, or another unique value, exists.")
    if state == FOREIGN_KEY_VIOLATION:
        return BrokenReference(
            "A row that the values refer to does not exist, or rows refer to this one."
        )
    if state in MISSING_STATES:
        logger.error(
            "%s: is the database older than the code? `make migrate`",
            str(error).partition("\n")[0],
        )
    if error and (is_lost or state.startswith(UNAVAILABLE_STATES)):
        return _unavailable(error, "PostgreSQL did not answer.")
    return None
