"""Errors as the drivers raise them, and what they mean."""

import logging
import ssl

import asyncpg
import psycopg2
import pytest
from sqlalchemy.exc import (
    DBAPIError,
    IntegrityError,
    InterfaceError,
    InternalError,
    OperationalError,
    PendingRollbackError,
    ProgrammingError,
    StatementError,
)
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from app.core import database_errors as module
from app.core.database_connections import Writes
from app.core.database_errors import translate_errors, unavailable
from app.core.exceptions import (
    AlreadyStored,
    ApplicationError,
    BrokenReference,
    DatabaseBusy,
    DatabaseUnavailable,
    Unstorable,
)
from chassis.outages import Outage


@pytest.fixture(autouse=True)
def writes(monkeypatch: pytest.MonkeyPatch) -> Writes:
    """No test knows of another one's outage."""
    writes = Writes()
    monkeypatch.setattr(module, "writes", writes)
    monkeypatch.setattr(module, "_outage", Outage("PostgreSQL"))
    return writes


def of_psycopg2(state: str, text: str = "text") -> psycopg2.Error:
    class Error(psycopg2.OperationalError):
        pgcode = state

    return Error(text)


def of_asyncpg(state: str) -> asyncpg.PostgresError:
    error = asyncpg.PostgresError("text")
    error.sqlstate = state
    return error


def through_sqlalchemy(
    error: BaseException, kind: type[DBAPIError] = ProgrammingError
) -> DBAPIError:
    """``ProgrammingError`` says nothing about the connection."""
    return kind("SELECT $1", {}, error)


def caused_by(cause: BaseException) -> Exception:
    """As SQLAlchemy wraps what asyncpg raises."""
    error = Exception("wrapped")
    error.__cause__ = cause
    return error


def translated(error: BaseException) -> ApplicationError:
    with pytest.raises(ApplicationError) as found, translate_errors():
        raise error
    assert found.value.__cause__ is error
    return found.value


@pytest.mark.parametrize(
    ("state", "meaning"),
    [
        *(("22001", Unstorable), ("22021", Unstorable)),
        *(("23505", AlreadyStored), ("23503", BrokenReference)),
        *(("40001", DatabaseBusy), ("40P01", DatabaseBusy), ("55P03", DatabaseBusy)),
        *((each, DatabaseUnavailable) for each in ("08006", "53300", "57014", "57P01")),
        *((each, DatabaseUnavailable) for each in ("58030", "25P03", "25P04")),
        *((each, DatabaseUnavailable) for each in ("28P01", "3D000", "26000", "42P05")),
        *((each, DatabaseUnavailable) for each in ("25006", "53100")),
    ],
)
def test_a_sqlstate_has_one_meaning_for_both_drivers(
    state: str, meaning: type[ApplicationError]
) -> None:
    for error in (
        through_sqlalchemy(of_psycopg2(state)),
        through_sqlalchemy(of_asyncpg(state)),
        of_asyncpg(state),
    ):
        found = translated(error)
        assert type(found) is meaning
        assert found.detail.endswith(".")


@pytest.mark.parametrize(
    "error",
    [
        through_sqlalchemy(of_psycopg2("42601")),
        through_sqlalchemy(of_asyncpg("42703")),
        through_sqlalchemy(of_asyncpg("23514"), IntegrityError),
        through_sqlalchemy(caused_by(KeyError())),
        StatementError("text", "SELECT 1", {}, None),
        of_asyncpg("42601"),
        of_asyncpg("42P01"),
        RuntimeError("a bug"),
        KeyError("a bug"),
    ],
    ids=repr,
)
def test_bugs_pass_unchanged(error: Exception) -> None:
    with pytest.raises(type(error)) as found, translate_errors():
        raise error
    assert found.value is error


def invalidated() -> DBAPIError:
    return InternalError("SELECT 1", {}, Exception("x"), connection_invalidated=True)


@pytest.mark.parametrize(
    ("error", "meaning", "words"),
    [
        (PoolTimeoutError(), DatabaseUnavailable, "All connections"),
        (ConnectionResetError(), DatabaseUnavailable, "cannot be reached"),
        (TimeoutError(), DatabaseUnavailable, "did not answer in time"),
        (RuntimeError("the handler is closed"), DatabaseUnavailable, "cannot be"),
        (PendingRollbackError(), DatabaseUnavailable, "did not answer"),
        (
            through_sqlalchemy(Exception("x"), OperationalError),
            DatabaseUnavailable,
            "did not answer",
        ),
        (
            through_sqlalchemy(Exception("x"), InterfaceError),
            DatabaseUnavailable,
            "did not answer",
        ),
        (invalidated(), DatabaseUnavailable, "did not answer"),
        (asyncpg.InterfaceError("x"), DatabaseUnavailable, "did not answer"),
        (asyncpg.InternalClientError("x"), DatabaseUnavailable, "did not answer"),
        (
            through_sqlalchemy(caused_by(asyncpg.InternalClientError("x"))),
            DatabaseUnavailable,
            "did not answer",
        ),
        # asyncpg refuses a value before it sends it.
        (through_sqlalchemy(caused_by(ValueError("x"))), Unstorable, "too long"),
        (asyncpg.DataError("x"), Unstorable, "too long"),
        # A migration changed the table of a prepared statement.
        (asyncpg.OutdatedSchemaCacheError("x"), DatabaseBusy, "in the way"),
        (
            through_sqlalchemy(caused_by(asyncpg.InvalidCachedStatementError("x"))),
            DatabaseBusy,
            "in the way",
        ),
    ],
    ids=repr,
)
def test_errors_without_a_sqlstate(
    error: Exception, meaning: type[ApplicationError], words: str
) -> None:
    found = translated(error)
    assert type(found) is meaning
    assert words in found.detail


def test_the_log_names_the_missing_table(caplog: pytest.LogCaptureFixture) -> None:
    error = through_sqlalchemy(of_psycopg2("42P01", "no table t\nLINE 1: secret"))
    with pytest.raises(ProgrammingError), translate_errors():
        raise error
    assert "no table t: is the database older" in caplog.text
    assert "secret" not in caplog.text


@pytest.mark.parametrize(("state", "shown"), [("22001", "22001"), ("", "none")])
def test_the_log_shows_no_value(
    state: str, shown: str, caplog: pytest.LogCaptureFixture
) -> None:
    error = of_asyncpg(state)
    error.__cause__ = ValueError("secret")
    translated(through_sqlalchemy(error))
    assert f"(SQLSTATE {shown})" in caplog.text
    assert "secret" not in caplog.text


def distrusted() -> ssl.SSLCertVerificationError:
    error = ssl.SSLCertVerificationError("x")
    error.verify_message = "self-signed certificate"
    return error


ADVICE = [
    (of_psycopg2("28P01"), "check the user"),
    (psycopg2.OperationalError("password authentication failed"), "check the user"),
    (psycopg2.OperationalError('database "d" does not exist'), "check the user"),
    (psycopg2.OperationalError('role "r" does not exist'), "check the user"),
    (distrusted(), "not trusted (self-signed certificate)"),
    (
        psycopg2.OperationalError("SSL error: certificate verify: expired\nat host"),
        "is not trusted (expired)",
    ),
    (of_asyncpg("26000"), "DB_TRANSACTION_POOLER=true"),
    (
        psycopg2.OperationalError("unsupported startup parameter: options"),
        "DB_TRANSACTION_POOLER=true",
    ),
    (of_asyncpg("25006"), "look at its disk and its role"),
]


@pytest.mark.parametrize(("error", "advice"), ADVICE)
def test_the_log_says_what_to_do(
    error: BaseException, advice: str, caplog: pytest.LogCaptureFixture
) -> None:
    sent = error if isinstance(error, OSError) else through_sqlalchemy(error)
    if isinstance(error, psycopg2.Error):
        sent = through_sqlalchemy(error, OperationalError)
    translated(sent)
    assert advice in caplog.text
    # SQLAlchemy's text has the statement.
    assert "No connection to PostgreSQL" in caplog.text
    assert "SELECT" not in caplog.text
    assert type(error).__name__ in caplog.text


def test_the_log_has_no_statement_wherever_the_error_is_from(
    caplog: pytest.LogCaptureFixture,
) -> None:
    unavailable(through_sqlalchemy(of_psycopg2("42501", "no right")), "Why.")
    assert "Error: no right" in caplog.text
    assert "SELECT" not in caplog.text


@pytest.mark.parametrize(
    "error",
    [
        Exception('role "r"'),
        Exception("certificate"),
        psycopg2.OperationalError("timeout expired"),
    ],
    ids=repr,
)
def test_without_advice(error: Exception, caplog: pytest.LogCaptureFixture) -> None:
    translated(through_sqlalchemy(error, OperationalError))
    for advice in ("check", "trusted", "POOLER", "look"):
        assert advice not in caplog.text
    assert not any(record.levelno > logging.WARNING for record in caplog.records)


def test_refused_writes_are_remembered(writes: Writes) -> None:
    translated(of_asyncpg("57P01"))
    assert not writes.are_refused
    assert "accepts no writes" in translated(of_asyncpg("53100")).detail
    assert writes.are_refused


def test_the_log_tells_the_end_of_an_outage(
    caplog: pytest.LogCaptureFixture,
) -> None:
    translated(TimeoutError())
    with translate_errors():
        pass
    assert "Connected to PostgreSQL" in caplog.text


def test_a_pool_in_use_is_no_outage(caplog: pytest.LogCaptureFixture) -> None:
    translated(PoolTimeoutError())
    assert caplog.text == ""
