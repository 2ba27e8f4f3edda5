"""PostgreSQL: engines, sessions, and the translation of driver errors.

Requests use the async engine (asyncpg), so a query never blocks the event loop. The
Celery worker and Alembic have no event loop and use the sync engine (psycopg2).
"""

import logging
import ssl
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import asyncpg
import psycopg2
from sqlalchemy import Connection, Engine, ExceptionContext, event, text
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

from app.core.database_connections import (
    ASYNCPG_ERRORS,
    Login,
    check_idle_connections,
    translate_failures_to_connect,
    writes,
)
from app.core.database_settings import DatabaseSettings
from app.core.exceptions import (
    AlreadyStored,
    ApplicationError,
    BrokenReference,
    DatabaseBusy,
    DatabaseUnavailable,
    Unstorable,
)
from chassis import json_text
from chassis.outages import Outage

# SQLSTATE classes that occur only when a connection opens: login, database.
REFUSED_STATES = ("28", "3D")
# psycopg2 gives no SQLSTATE for these errors, so compare their text.
REFUSED_TEXTS = ("authentication failed", 'database "', 'role "')
ADVICE = "check the user, password and database in DATABASE_URL"
CERTIFICATE_ADVICE = (
    "the server's certificate is not trusted ({reason}): check the host's name and "
    "sslrootcert in DATABASE_URL"
)

# A pooler that gives each transaction another connection.
POOLER_STATES = ("26000", "42P05")
POOLER_TEXT = "unsupported startup parameter"
POOLER_ADVICE = "if DATABASE_URL leads to a pooler, set DB_TRANSACTION_POOLER=true"

# The server only reads (failover, a provider's limit), or its disk is full.
READ_ONLY_STATES = ("25006", "53100")
READ_ONLY_ADVICE = "PostgreSQL accepts no writes: look at its disk and its role"
# Other transactions were in the way: deadlock, serialization, time to wait for a lock.
BUSY_STATES = ("40", "55P03")
# Classes of SQLSTATE: connection, resources, operator intervention (start, stop,
# statement time-out), system, transactions ended by a time limit. See "PostgreSQL
# Error Codes" in its manual.
UNAVAILABLE_STATES = (
    *("08", "53", "57", "58", "25P03", "25P04"),
    *(*REFUSED_STATES, *POOLER_STATES, *READ_ONLY_STATES),
)

UNIQUE_VIOLATION = "23505"
FOREIGN_KEY_VIOLATION = "23503"

# A migration changed a table that a prepared statement of this connection reads.
CHANGED = (asyncpg.InvalidCachedStatementError, asyncpg.OutdatedSchemaCacheError)

# A table or a column that the code knows and the database does not.
MISSING_STATES = ("42P01", "42703")

# Invalid data: too long, out of range, U+0000, an invalid date, a negative LIMIT.
DATA_STATES = "22"

to_json = json_text.dumps
logger = logging.getLogger(__name__)


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
        engine, is_async=False, read_login=lambda: settings.read_again().sync.login
    )
    if settings.db_transaction_pooler:

        @event.listens_for(engine, "begin")
        def limit_statements(connection: Connection) -> None:
            connection.exec_driver_sql(f"SET LOCAL statement_timeout = '{limit}'")

    return engine


def _watch_connections(
    engine: Engine,
    *,
    is_async: bool,
    read_login: Callable[[], Login],
    attempts: Iterable[Mapping[str, Any]] = ({},),
) -> None:
    """Translate failures to connect, and discard connections that no longer serve."""

    def read_changed_login(errors: list[BaseException]) -> Login:
        return read_login() if any(map(_is_refused, errors)) else {}

    translate_failures_to_connect(engine, _unavailable, read_changed_login, attempts)
    check_idle_connections(engine, is_async=is_async)

    @event.listens_for(engine, "handle_error")
    def discard(context: ExceptionContext) -> None:
        error = context.original_exception
        if _sqlstate(error) in READ_ONLY_STATES:
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
            is_async=True,
            read_login=lambda: settings.read_again().asynchronous.login,
            attempts=url.attempts(),
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


_outage = Outage("PostgreSQL")


def _sqlstate(error: BaseException | None) -> str:
    """The SQLSTATE of a driver's error; empty if it has none."""
    return getattr(error, "sqlstate", None) or getattr(error, "pgcode", None) or ""


def _is_refused(error: BaseException) -> bool:
    """Whether a login was refused, for its password or otherwise."""
    return _sqlstate(error).startswith(REFUSED_STATES) or any(
        words in str(error) and isinstance(error, psycopg2.OperationalError)
        for words in REFUSED_TEXTS
    )


def _distrust(error: BaseException) -> str | None:
    """Why the server's certificate is not trusted; None if that is not the error."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return error.verify_message
    texts = [line for line in str(error).splitlines() if "certificate" in line]
    if texts and isinstance(error, psycopg2.OperationalError):
        return texts[0].rpartition(": ")[2]
    return None


def _unavailable(error: BaseException, detail: str) -> DatabaseUnavailable:
    """The error to raise; logs the loss of PostgreSQL once per outage."""
    # SQLAlchemy's own text quotes the statement and its values.
    cause: BaseException = getattr(error, "orig", None) or error
    state, advice = _sqlstate(cause), None
    if _is_refused(cause):
        advice = ADVICE
    elif reason := _distrust(cause):
        advice = CERTIFICATE_ADVICE.format(reason=reason)
    elif state in POOLER_STATES or POOLER_TEXT in str(cause):
        advice = POOLER_ADVICE
    elif state in READ_ONLY_STATES:
        writes.refuse()
        advice, detail = READ_ONLY_ADVICE, "PostgreSQL accepts no writes."
    _outage.lost(cause, advice)
    return DatabaseUnavailable(detail)


@contextmanager
def translate_errors() -> Iterator[None]:
    """Translate every form of "the database is not there" into one error; a duplicate,
    a broken reference, and a value that no column accepts have one each.

    Bugs (an unknown column, another violated constraint) pass unchanged.
    """
    try:
        yield
        _outage.restored()
    except PoolTimeoutError as error:  # all connections are in use: none is lost
        detail = "All connections to PostgreSQL are in use."
        raise DatabaseUnavailable(detail) from error
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
    # The cases below come from the driver itself: group commit uses it directly.
    except ASYNCPG_ERRORS as error:
        if meaning := _meaning(error, not isinstance(error, asyncpg.PostgresError)):
            raise meaning from error
        raise


def _meaning(error: BaseException | None, is_lost: bool) -> ApplicationError | None:
    """Our meaning of the driver's error; ``is_lost`` if the connection is gone."""
    state = _sqlstate(error)
    # asyncpg refuses some values before it sends them; SQLAlchemy hides that error.
    causes = (error, getattr(error, "__cause__", None))
    if state.startswith(DATA_STATES) or any(isinstance(c, ValueError) for c in causes):
        # The error's own text quotes the value.
        what = "PostgreSQL does not accept this value (SQLSTATE %s)"
        logger.warning(what, state or "none")
        return Unstorable(
            "A value is too long, out of range, or text that PostgreSQL cannot store."
        )
    if state == UNIQUE_VIOLATION:
        return AlreadyStored("A row with that id, or another unique value, exists.")
    if state == FOREIGN_KEY_VIOLATION:
        return BrokenReference(
            "The values refer to a missing row, or other rows still refer to this one."
        )
    if state.startswith(BUSY_STATES) or any(isinstance(c, CHANGED) for c in causes):
        logger.info("Another transaction was in the way (SQLSTATE %s)", state or "none")
        return DatabaseBusy("Another transaction was in the way; nothing was stored.")
    if state in MISSING_STATES:
        logger.error(
            "%s: is the database older than the code? `make migrate`",
            str(error).partition("\n")[0],
        )
    is_lost = is_lost or any(isinstance(c, asyncpg.InternalClientError) for c in causes)
    if error and (is_lost or state.startswith(UNAVAILABLE_STATES)):
        return _unavailable(error, "PostgreSQL did not answer.")
    return None
