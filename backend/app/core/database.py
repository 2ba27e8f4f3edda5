"""PostgreSQL: engines, sessions, and the translation of their errors.

Requests use the async engine (asyncpg), so that a query never blocks the event
loop. The Celery worker and Alembic use the sync one (psycopg2): they have no loop.
"""

import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import asyncpg
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
    DatabaseUnavailable,
    Unstorable,
)
from chassis import json_text

# Classes of SQLSTATE: connection, resources, and operator intervention (starting up,
# shutting down, statement time-out). See "PostgreSQL Error Codes" in its manual.
UNAVAILABLE_STATES = ("08", "53", "57")

UNIQUE_VIOLATION = "23505"

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
            AlreadyStored, Unstorable: a duplicate, or a value that no column takes.
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


@contextmanager
def translate_errors() -> Iterator[None]:
    """Turn "the database is not there" in all its spellings into one error, a
    duplicate into another, and a value that no column takes into a third.

    Mistakes of ours (an unknown column, another broken constraint) pass unchanged.
    """
    try:
        yield
    except (OSError, TimeoutError, PoolTimeoutError) as error:
        raise DatabaseUnavailable("PostgreSQL cannot be reached.") from error
    except PendingRollbackError as error:
        raise DatabaseUnavailable("PostgreSQL did not answer.") from error
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
        return AlreadyStored("A row with that id exists.")
    if is_lost or state.startswith(UNAVAILABLE_STATES):
        return DatabaseUnavailable("PostgreSQL did not answer.")
    return None
