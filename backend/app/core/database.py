"""PostgreSQL: engines and sessions.

Requests use the async engine (asyncpg), so a query never blocks the event loop. The
Celery worker and Alembic have no event loop and use the sync engine (psycopg2).
"""

from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import Any

from sqlalchemy import Connection, Engine, ExceptionContext, event, text
from sqlalchemy.ext.asyncio import AsyncEngine, async_sessionmaker, create_async_engine
from sqlmodel import create_engine
from sqlmodel.ext.asyncio.session import AsyncSession
from starlette.requests import HTTPConnection

from app.core.database_connections import (
    Login,
    check_idle_connections,
    translate_failures_to_connect,
    writes,
)
from app.core.database_errors import (
    READ_ONLY_STATES,
    is_refused,
    sqlstate,
    translate_errors,
    unavailable,
)
from app.core.database_settings import DatabaseSettings
from app.core.database_url import DatabaseUrl
from app.core.exceptions import DatabaseUnavailable
from chassis import json_text

__all__ = [
    "Database",
    "create_sync_engine",
    "get_async_session",
    "to_json",
    "translate_errors",
]

to_json = json_text.dumps


def create_sync_engine(
    settings: DatabaseSettings,
    *,
    statement_seconds: float | None = None,
    **options: Any,
) -> Engine:
    """The engine of the worker and of migrations. Connects on first use.

    Args:
        statement_seconds: longest time for a statement; 0 for no limit.
    """
    if statement_seconds is None:
        statement_seconds = settings.db_timeout_seconds
    limit = f"{statement_seconds:.3f}s"
    arguments = settings.sync.for_psycopg2()
    if settings.db_transaction_pooler:
        # A pooler refuses `options`, so each transaction sets the limit.
        options.pop("isolation_level", None)
        options.pop("skip_autocommit_rollback", None)
    else:
        own = arguments.get("options", "")
        arguments["options"] = f"-c statement_timeout={limit} {own}".strip()
    defaults: dict[str, Any] = {
        "echo": settings.sql_echo,
        "pool_size": settings.db_pool_size,
        "max_overflow": settings.db_max_overflow,
        "pool_timeout": settings.db_timeout_seconds,
        "json_serializer": to_json,
        "connect_args": arguments,
    }
    engine = create_engine(settings.sync_url, **defaults | options)
    _watch_connections(
        engine,
        read_login=lambda: settings.read_again().sync.login,
        patience=_failover_patience(settings, settings.sync),
    )
    if settings.db_transaction_pooler:

        @event.listens_for(engine, "begin")
        def limit_statements(connection: Connection) -> None:
            connection.exec_driver_sql(f"SET LOCAL statement_timeout = '{limit}'")

    return engine


def _failover_patience(settings: DatabaseSettings, url: DatabaseUrl) -> float:
    """How long to wait for a primary: with several hosts, another one is about to be
    promoted, and a request that waits for it need not fail."""
    return settings.db_timeout_seconds * 3 / 4 if len(url.hosts) > 1 else 0.0


def _watch_connections(
    engine: Engine,
    *,
    read_login: Callable[[], Login],
    attempts: Iterable[Mapping[str, Any]] = ({},),
    patience: float,
) -> None:
    """Translate failures to connect, and discard connections that no longer serve."""

    def read_changed_login(errors: list[BaseException]) -> Login:
        return read_login() if any(map(is_refused, errors)) else {}

    translate_failures_to_connect(
        engine, unavailable, read_changed_login, attempts, patience=patience
    )
    check_idle_connections(engine)

    @event.listens_for(engine, "handle_error")
    def discard(context: ExceptionContext) -> None:
        error = context.original_exception
        if sqlstate(error) in READ_ONLY_STATES:
            context.is_disconnect = True
        elif isinstance(error, TimeoutError):  # asyncpg's: is the server out of reach?
            context.is_disconnect = True
            context.invalidate_pool_on_disconnect = False


class Database:
    """The async engine of one process, and its sessions."""

    def __init__(self, settings: DatabaseSettings) -> None:
        url = settings.asynchronous
        arguments = url.for_asyncpg()
        arguments["command_timeout"] = settings.db_timeout_seconds
        if settings.db_transaction_pooler:
            # The next transaction may run on another connection, which does not have
            # the prepared statements of this one.
            arguments["statement_cache_size"] = 0
            arguments["prepared_statement_cache_size"] = 0
            arguments["prepared_statement_name_func"] = str
        self.engine: AsyncEngine = create_async_engine(
            settings.async_url,
            echo=settings.sql_echo,
            pool_size=settings.db_pool_size,
            max_overflow=settings.db_max_overflow,
            pool_timeout=settings.db_timeout_seconds,
            json_serializer=to_json,
            connect_args=arguments,
        )
        _watch_connections(
            self.engine.sync_engine,
            read_login=lambda: settings.read_again().asynchronous.login,
            attempts=url.attempts(),
            patience=_failover_patience(settings, url),
        )
        self._new_session = async_sessionmaker(
            self.engine, class_=AsyncSession, expire_on_commit=False
        )

    @asynccontextmanager
    async def session(self) -> AsyncIterator[AsyncSession]:
        """A session that rolls back unless its user commits.

        Raises:
            DatabaseUnavailable: no connection, or no answer in time.
            DatabaseBusy: another transaction was in the way.
            AlreadyStored, BrokenReference: existing rows do not allow it.
            Unstorable: a column does not accept a value.
        """
        with translate_errors():
            async with self._new_session() as session:
                yield session

    async def check(self) -> None:
        """Raise DatabaseUnavailable if PostgreSQL does not answer or only reads."""
        async with self.session() as session:
            if await session.scalar(text("SHOW transaction_read_only")) == "on":
                writes.refuse()
                raise DatabaseUnavailable("PostgreSQL accepts no writes.")

    async def close(self) -> None:
        """Close all connections."""
        await self.engine.dispose()


async def get_async_session(connection: HTTPConnection) -> AsyncIterator[AsyncSession]:
    """FastAPI dependency: one session per request.

    With ``scope="function"`` (see ``SessionDep``) it commits when the endpoint returns,
    before the answer is sent. An exception rolls back.
    """
    async with connection.app.state.resources.database.session() as session:
        yield session
        await session.commit()
