"""Translates the errors of both drivers into those of ``app.core.exceptions``."""

import logging
import ssl
from collections.abc import Iterator
from contextlib import contextmanager

import asyncpg
import psycopg2
from sqlalchemy.exc import (
    DBAPIError,
    InterfaceError,
    OperationalError,
    PendingRollbackError,
    StatementError,
)
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from app.core.broken_transports import is_broken_transport
from app.core.database_connections import ASYNCPG_ERRORS, writes
from app.core.exceptions import (
    AlreadyStored,
    ApplicationError,
    BrokenReference,
    DatabaseBusy,
    DatabaseUnavailable,
    Unstorable,
)
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

logger = logging.getLogger(__name__)

_outage = Outage("PostgreSQL")


def sqlstate(error: BaseException | None) -> str:
    """The SQLSTATE of a driver's error; empty if it has none."""
    return getattr(error, "sqlstate", None) or getattr(error, "pgcode", None) or ""


def is_refused(error: BaseException) -> bool:
    """Whether a login was refused, for its password or otherwise."""
    return sqlstate(error).startswith(REFUSED_STATES) or any(
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


def unavailable(error: BaseException, detail: str) -> DatabaseUnavailable:
    """The error to raise; logs the loss of PostgreSQL once per outage."""
    # SQLAlchemy's own text quotes the statement and its values.
    cause: BaseException = getattr(error, "orig", None) or error
    state, advice = sqlstate(cause), None
    if is_refused(cause):
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
    except TimeoutError as error:  # a kind of OSError
        raise unavailable(error, "PostgreSQL did not answer in time.") from error
    except OSError as error:
        raise unavailable(error, "PostgreSQL cannot be reached.") from error
    except RuntimeError as error:
        if is_broken_transport(error):
            raise unavailable(error, "PostgreSQL cannot be reached.") from error
        raise
    except PendingRollbackError as error:
        raise unavailable(error, "PostgreSQL did not answer.") from error
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
    state = sqlstate(error)
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
        return unavailable(error, "PostgreSQL did not answer.")
    return None
