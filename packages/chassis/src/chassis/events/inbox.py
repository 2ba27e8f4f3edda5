"""What a service has received: the events' ids, in the service's own schema.

Id and effect of an event are committed together. A redelivered event finds its id, and
has no second effect. Importing this module imports psycopg2.
"""

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg2
from psycopg2 import sql
from psycopg2.extensions import TRANSACTION_STATUS_INERROR, connection

from chassis.database_url import PostgresUrl
from chassis.outages import Outage
from chassis.settings import ReceivedEventSettings

logger = logging.getLogger(__name__)

#: Ids are kept longer than dead letters, which may return to the queue.
KEPT_DAYS = 30
PRUNE_SECONDS, PRUNED_AT_ONCE = 3600.0, 10_000

#: The longest time for a statement of a handler.
STATEMENT_SECONDS = 30

# Any number that no other lock of the database has.
_LOCK = 7305021007

_SETTINGS = sql.SQL("SET LOCAL search_path TO {}; SET LOCAL statement_timeout TO {}")
_TABLE = """
CREATE TABLE IF NOT EXISTS received_events (
    subscription text NOT NULL,
    event_id text NOT NULL,
    received_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (subscription, event_id)
);
CREATE INDEX IF NOT EXISTS ix_received_events_received_at
    ON received_events USING brin (received_at);
"""
_RECEIVE = """
INSERT INTO received_events (subscription, event_id) VALUES (%s, %s)
ON CONFLICT DO NOTHING
"""
_PRUNE = """
DELETE FROM received_events WHERE ctid = ANY (ARRAY(
    SELECT ctid FROM received_events
    WHERE received_at < now() - make_interval(days => %s) LIMIT %s
))
"""

# The server is away, refuses the login, has no room or only reads; or another
# transaction was in the way. By classes of SQLSTATE.
_AWAY = ("08", "25006", "28", "3D", "40", "53", "55P03", "57", "58")
_CANCELED = "57014"  # by the handler's own slowness

NO_SCHEMA = (
    "let its owner run CREATE SCHEMA {schema} AUTHORIZATION, with the role of "
    "EVENTS_DATABASE_URL"
)


class Inbox:
    """The transactions in which one thread handles events; it has one connection.

    Args:
        schema: of the service; made if it is missing, as are the tables.
        tables: SQL that creates the service's own tables unless they exist.

    Raises:
        ValueError: the URL is missing, or not valid.
    """

    def __init__(
        self, settings: ReceivedEventSettings, schema: str, tables: str = ""
    ) -> None:
        self._settings = settings
        self._url = _url_of(settings)
        self._schema = schema
        self._tables = tables
        self._outage = Outage("PostgreSQL of EVENTS_DATABASE_URL")
        self._connection: connection | None = None
        self._prune_at = time.monotonic() + PRUNE_SECONDS

    def lost(self, error: BaseException) -> None:
        """Log a failure that is not the handler's, once per outage."""
        advice = None
        if isinstance(error, psycopg2.errors.InsufficientPrivilege):
            advice = NO_SCHEMA.format(schema=self._schema)
        is_bug = not self.is_away(error) and advice is None
        self._outage.lost(error, advice, is_bug=is_bug)

    def restored(self) -> None:
        """Log that PostgreSQL is back."""
        self._outage.restored()

    def is_away(self, error: BaseException) -> bool:
        """Whether PostgreSQL, not the handler, is the reason of an error."""
        if not isinstance(error, psycopg2.Error):
            return False
        if error.pgcode is None:  # nothing came from the server
            kinds = psycopg2.OperationalError, psycopg2.InterfaceError
            return isinstance(error, kinds)
        return error.pgcode.startswith(_AWAY) and error.pgcode != _CANCELED

    def prepare(self) -> None:
        """Create what is missing, one process at a time. Raises psycopg2.Error."""
        schema = sql.Identifier(self._schema)
        with self._transaction() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_LOCK])
            known = "SELECT FROM pg_namespace WHERE nspname = %s"
            cursor.execute(known, [self._schema])
            # The role may own its schema, and be allowed to make none.
            if not cursor.rowcount:
                cursor.execute(sql.SQL("CREATE SCHEMA {}").format(schema))
            cursor.execute("SELECT to_regclass('received_events') IS NULL")
            if cursor.fetchone() == (True,):
                cursor.execute(_TABLE)
            if self._tables:
                cursor.execute(self._tables)

    @contextmanager
    def receiving(self, subscription: str, event_id: str) -> Iterator[Any]:
        """A cursor in the transaction of an event; None if it was received before.

        Raises:
            psycopg2.Error: see :meth:`is_away`.
        """
        with self._transaction() as cursor:
            cursor.execute(_RECEIVE, [subscription, event_id])
            yield cursor if cursor.rowcount else None

    def prune(self) -> None:
        """Now and then, forget old ids. Not at once after the start: what returned to
        the queue before a long pause comes first. Raises psycopg2.Error."""
        if time.monotonic() < self._prune_at:
            return
        self._prune_at = time.monotonic() + PRUNE_SECONDS
        deleted = PRUNED_AT_ONCE
        while deleted == PRUNED_AT_ONCE:
            with self._transaction() as cursor:
                cursor.execute(_PRUNE, [KEPT_DAYS, PRUNED_AT_ONCE])
                deleted = cursor.rowcount

    def close(self) -> None:
        """Close the connection; the next transaction opens another."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    @contextmanager
    def _transaction(self) -> Iterator[Any]:
        try:
            if self._connection is None:
                self._connection = self._connect()
            own = self._connection
            with own, own.cursor() as cursor:
                # For this transaction only: a pooler may give the next one another
                # connection.
                limit = sql.Literal(f"{STATEMENT_SECONDS}s")
                schema = sql.Identifier(self._schema)
                cursor.execute(_SETTINGS.format(schema, limit))
                yield cursor
                if own.info.transaction_status == TRANSACTION_STATUS_INERROR:
                    # PostgreSQL would roll back, and report nothing.
                    raise RuntimeError("a statement failed, and the handler went on")
        except BaseException as error:
            if self.is_away(error) or self._connection and self._connection.closed:
                self.close()
            raise

    def _connect(self) -> connection:
        self._settings = self._settings.read_again()
        try:
            self._url = _url_of(self._settings)
        except ValueError as error:
            logger.warning("A changed secret cannot be used: %s", error)
        name = {"fallback_application_name": f"{self._schema}.events"}
        found: connection = psycopg2.connect(**(name | self._url.for_psycopg2()))
        return found


def _url_of(settings: ReceivedEventSettings) -> PostgresUrl:
    if settings.database_url is None:
        raise ValueError("EVENTS_DATABASE_URL: a handler takes a cursor; set the URL")
    try:
        return PostgresUrl(settings.database_url.get_secret_value())
    except ValueError as error:
        raise ValueError(f"EVENTS_DATABASE_URL: {error}") from None
