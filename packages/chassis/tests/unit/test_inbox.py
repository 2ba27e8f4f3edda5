"""The transactions in which events are handled, without PostgreSQL."""

import re
import time
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import MagicMock, PropertyMock

import psycopg2
import pytest
from psycopg2.extensions import TRANSACTION_STATUS_INERROR
from pydantic import SecretStr

from chassis.events import inbox as module
from chassis.events.inbox import KEPT_DAYS, PRUNE_SECONDS, PRUNED_AT_ONCE, Inbox
from chassis.rpc.topology import RequestQueue
from chassis.settings import ReceivedEventSettings


@pytest.fixture
def inbox() -> Inbox:
    url = SecretStr("postgresql://h/d")
    return Inbox(ReceivedEventSettings(database_url=url), "shop")


def error(code: str | None, kind: type = psycopg2.Error) -> BaseException:
    found: BaseException = type("Raised", (kind,), {"pgcode": code})()
    return found


@pytest.mark.parametrize(
    ("code", "is_away"),
    [
        *(("08006", True), ("25006", True), ("28P01", True), ("3D000", True)),
        *(("40001", True), ("40P01", True), ("53300", True), ("55P03", True)),
        *(("57P01", True), ("57P03", True), ("58000", True)),
        # The handler's own: its slow statement, its rows, its SQL.
        *(("57014", False), ("23505", False), ("22P02", False), ("42P01", False)),
    ],
)
def test_who_is_the_reason_of_an_error(inbox: Inbox, code: str, is_away: bool) -> None:
    """While PostgreSQL is, the event waits, and no attempt is lost: it is away or
    starts, only reads after a failover, has no room, or another transaction won."""
    assert inbox.is_away(error(code)) is is_away


def test_an_error_without_a_code_is_of_the_connection_or_of_the_code(
    inbox: Inbox,
) -> None:
    for kind in (psycopg2.OperationalError, psycopg2.InterfaceError):
        assert inbox.is_away(error(None, kind))
    assert not inbox.is_away(error(None, psycopg2.ProgrammingError))
    assert not inbox.is_away(ValueError())


class Database:
    """Counts connections; `cursor` and `connection` are those of psycopg2."""

    def __init__(self) -> None:
        self.connections = 0
        self.asked: dict[str, object] = {}
        self.connection = MagicMock(closed=0)
        self.connection.__exit__.return_value = None  # it passes on what is raised
        made = self.connection.cursor.return_value
        made.__exit__.return_value = None
        self.cursor = made.__enter__.return_value
        self.cursor.rowcount = 1

    def connect(self, **options: object) -> MagicMock:
        self.connections += 1
        self.asked = options
        return self.connection

    def said(self) -> list[str]:
        """The statements, without those that begin each transaction."""
        calls = self.cursor.execute.call_args_list
        found = [str(getattr(each.args[0], "seq", each.args[0])) for each in calls]
        return [each for each in found if "SET LOCAL" not in each]


@pytest.fixture
def database(monkeypatch: pytest.MonkeyPatch) -> Database:
    database = Database()
    monkeypatch.setattr(psycopg2, "connect", database.connect)
    return database


def test_an_event_that_was_received_has_no_cursor(
    inbox: Inbox, database: Database
) -> None:
    with inbox.receiving("shop.events.record.*", "e-1") as cursor:
        assert cursor is database.cursor
    database.cursor.rowcount = 0
    with inbox.receiving("shop.events.record.*", "e-1") as cursor:
        assert cursor is None


def test_a_statement_that_failed_is_a_failure_of_the_handler(
    inbox: Inbox, database: Database
) -> None:
    """Who goes on after it: PostgreSQL rolls back, and says nothing."""
    database.connection.info.transaction_status = TRANSACTION_STATUS_INERROR
    with pytest.raises(RuntimeError, match="a statement failed"):
        with inbox.receiving("shop.events.record.*", "e-1"):
            pass


def test_another_connection_follows_only_one_that_is_lost(
    inbox: Inbox, database: Database
) -> None:
    def receive(raised: BaseException) -> None:
        with pytest.raises(type(raised)):
            with inbox.receiving("shop.events.record.*", "e-1"):
                raise raised

    receive(ValueError("of the handler"))
    receive(error("57P01"))
    assert database.connections == 1 and database.connection.close.called
    receive(ValueError("of the handler"))
    assert database.connections == 2
    database.connection.closed = 2  # it breaks, while the handler does something else
    receive(ValueError("of the handler"))
    database.connection.closed = 0
    receive(ValueError("of the handler"))
    assert database.connections == 3


def test_what_is_set_ends_with_its_transaction(
    inbox: Inbox, database: Database
) -> None:
    """A pooler gives the connection to others afterwards."""
    with inbox.receiving("shop.events.record.*", "e-1"):
        pass
    calls = database.cursor.execute.call_args_list
    said = " ".join(str(each.args[0]) for each in calls)
    settings = re.findall(r"SET (\w+) (\w+)", said)
    assert settings == [("LOCAL", "search_path"), ("LOCAL", "statement_timeout")]


def test_one_process_at_a_time_makes_what_is_missing(
    inbox: Inbox, database: Database
) -> None:
    database.cursor.rowcount = 0
    inbox.prepare()
    said = [str(each.args[0]) for each in database.cursor.execute.call_args_list]
    assert "pg_advisory_xact_lock" in said[1]
    assert [n for n, each in enumerate(said) if "CREATE SCHEMA" in each] == [3]


@pytest.mark.parametrize("is_new", [True, False])
def test_a_release_may_bring_tables_to_a_schema_that_is_in_use(
    database: Database, is_new: bool
) -> None:
    url = SecretStr("postgresql://h/d")
    own = "CREATE TABLE IF NOT EXISTS orders ()"
    inbox = Inbox(ReceivedEventSettings(database_url=url), "shop", own)
    database.cursor.fetchone.return_value = (is_new,)
    inbox.prepare()
    made = [each for each in database.said() if "CREATE TABLE" in each]
    assert made[-1] == own and len(made) == 1 + is_new


def test_old_ids_go_some_at_a_time_and_now_and_then(
    inbox: Inbox, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    deleted = PropertyMock(side_effect=[PRUNED_AT_ONCE, PRUNED_AT_ONCE, 3])
    monkeypatch.setattr(type(database.cursor), "rowcount", deleted, raising=False)
    now = time.monotonic()
    monkeypatch.setattr("chassis.events.inbox.time.monotonic", lambda: now)
    inbox.prune()
    assert not deleted.called, "what came back before the start is still known"
    now += PRUNE_SECONDS
    inbox.prune()
    inbox.prune()
    assert deleted.call_count == 3


def test_each_connection_has_the_password_of_now(
    database: Database, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "url"
    monkeypatch.setenv("EVENTS_DATABASE_URL_FILE", str(file))
    file.write_text("postgresql://u:old@h/d")
    inbox = Inbox(ReceivedEventSettings(), "shop")
    for password in ("old", "new"):
        file.write_text(f"postgresql://u:{password}@h/d")
        with inbox.receiving("shop.events.record.*", "e-1"):
            pass
        assert password in str(database.asked)
        inbox.close()
    assert database.asked["fallback_application_name"] == "shop.events"


def test_ids_are_kept_longer_than_what_may_come_back() -> None:
    """From a queue of dead letters, by hand."""
    arguments = RequestQueue("shop.events.record.*").dead_letter_arguments
    kept = KEPT_DAYS * 24 * 60 * 60 * 1000
    assert kept >= 2 * arguments["x-message-ttl"]


def test_a_first_start_creates_what_is_missing(database: Database) -> None:
    """One process at a time: several may start together."""
    settings = ReceivedEventSettings(database_url=SecretStr("postgresql://h/d"))
    inbox = Inbox(settings, "shop", "CREATE TABLE IF NOT EXISTS prices ()")
    database.cursor.rowcount = 0
    database.cursor.fetchone.return_value = (True,)
    inbox.prepare()
    lock, schema, create, exists, table, own = database.said()
    assert "pg_advisory_xact_lock" in lock
    assert "pg_namespace" in schema and "to_regclass('received_events')" in exists
    assert "CREATE SCHEMA" in create and "'shop'" in create
    assert "CREATE TABLE IF NOT EXISTS received_events" in table
    assert own == "CREATE TABLE IF NOT EXISTS prices ()"
    parameters = [c.args[1:] for c in database.cursor.execute.call_args_list]
    assert (["shop"],) in parameters and database.connections == 1


def test_a_later_start_creates_nothing(inbox: Inbox, database: Database) -> None:
    """Its role may have no right to."""
    database.cursor.fetchone.return_value = (False,)
    inbox.prepare()
    assert not any("CREATE" in each for each in database.said())


def test_old_ids_are_forgotten_in_portions(
    inbox: Inbox, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not at the start: what came back during a long pause is handled first."""
    now = time.monotonic()
    clock = SimpleNamespace(monotonic=lambda: now)
    monkeypatch.setattr(module, "time", clock)
    inbox.prune()
    assert not database.said()
    counts = [PRUNED_AT_ONCE, PRUNED_AT_ONCE, 3]
    type(database.cursor).rowcount = PropertyMock(side_effect=counts)
    now += PRUNE_SECONDS + 1
    inbox.prune()
    inbox.prune()
    assert len(database.said()) == 3
    assert all("DELETE FROM received_events" in each for each in database.said())
    call = database.cursor.execute.call_args
    assert call.args[1] == [KEPT_DAYS, PRUNED_AT_ONCE]
    type(database.cursor).rowcount = PropertyMock(return_value=0)
    now += PRUNE_SECONDS
    inbox.prune()
    assert len(database.said()) == 4


def test_who_may_not_create_the_schema_reads_what_to_do(
    inbox: Inbox, caplog: pytest.LogCaptureFixture
) -> None:
    inbox.lost(psycopg2.errors.InsufficientPrivilege("permission denied"))
    inbox.restored()
    warning, *_ = caplog.records
    assert "CREATE SCHEMA shop AUTHORIZATION" in warning.getMessage()
    assert not warning.exc_info


@pytest.mark.parametrize(("code", "is_bug"), [("57P01", False), ("42P01", True)])
def test_only_a_bug_has_its_traceback(
    inbox: Inbox, caplog: pytest.LogCaptureFixture, code: str, is_bug: bool
) -> None:
    inbox.lost(error(code))
    (warning,) = caplog.records
    assert "PostgreSQL of EVENTS_DATABASE_URL" in warning.getMessage()
    assert bool(warning.exc_info) is is_bug


@pytest.mark.parametrize(
    ("url", "words"),
    [(None, "set the URL"), ("mysql://h/d", "EVENTS_DATABASE_URL: write it as")],
)
def test_a_url_that_cannot_be_used_ends_the_start(url: str | None, words: str) -> None:
    given = SecretStr(url) if url else None
    with pytest.raises(ValueError, match=words):
        Inbox(ReceivedEventSettings(database_url=given), "shop")
