"""What the relay does with the event log: one active relay, and how far it is."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import ProgrammingError

from app.core import locks
from app.core.database import translate_errors
from app.core.database_connections import writes
from app.core.database_errors import unavailable
from app.repositories.event_repository import StoredEvent, next_events

# The active relay has this lock. It ends with a transaction, not with a session: behind
# a pooler, a session has no connection of its own.
KEY = {"key": locks.RELAY}

# The server ends the transaction of a relay that hangs. It notices within three seconds
# that a relay's host is gone, unless a pooler is between them.
IDLE_LIMIT = "30s"
LOCAL = {
    "tcp_keepalives_idle": "1",
    "tcp_keepalives_interval": "1",
    "tcp_keepalives_count": "2",
    "tcp_user_timeout": "3000",
}
_SETTINGS = ", ".join(f"set_config('{n}', '{v}', true)" for n, v in LOCAL.items())
BEGIN = text(f"""
    SELECT pg_try_advisory_xact_lock(:key) AS is_active,
        current_setting('transaction_read_only') = 'on' AS is_read_only,
        set_config('idle_in_transaction_session_timeout', :idle, true), {_SETTINGS}
    """)  # nosec: no value of others
POSITION = text("SELECT position FROM event_relay")
MOVE = text("UPDATE event_relay SET position = :position WHERE position <= :position")

#: A backlog is counted so far.
MOST_COUNTED = 100_000
BACKLOG = text("""
    SELECT count(*), coalesce(extract(epoch FROM now() - min(time)), 0) FROM (
        SELECT time FROM record_events
        WHERE sequence > (SELECT position FROM event_relay)
        ORDER BY sequence LIMIT :most
    ) AS waiting""")


class RelayTurn:
    """A transaction in which no other relay is active."""

    def __init__(self, connection: Connection, position: int) -> None:
        self._connection = connection
        #: The sequence that was published last.
        self.position = position

    def next_events(self, limit: int) -> list[StoredEvent]:
        """The settled events after the position, limited in number and bytes."""
        rows = self._connection.execute(next_events(self.position, limit))
        return [StoredEvent(*row) for row in rows]

    def move(self, position: int) -> None:
        """Everything up to there is published, if the transaction commits."""
        self._connection.execute(MOVE, {"position": position})
        self.position = position


@contextmanager
def relay_turn(engine: Engine) -> Iterator[RelayTurn | None]:
    """A transaction of the active relay, which commits at its end; None if another
    process is active.

    While nothing is written in it, it keeps no snapshot and has no id, so events of
    others become settled, and VACUUM works.

    Raises:
        DatabaseUnavailable: PostgreSQL does not answer, only reads, or gives no access
            to an event log.
        DatabaseBusy: another transaction was in the way.
    """
    own = engine.execution_options(isolation_level="READ COMMITTED")
    with translate_errors(), own.begin() as connection:
        try:
            found = connection.execute(BEGIN, {**KEY, "idle": IDLE_LIMIT}).one()
            if found.is_read_only:
                writes.refuse()
                detail = "PostgreSQL accepts no writes."
                raise unavailable(PermissionError("the server only reads"), detail)
            if not found.is_active:
                yield None
                return
            # Not in the statement of the lock: another relay may just have moved it.
            position = connection.scalar(POSITION)
            yield RelayTurn(connection, position)
        except ProgrammingError as error:
            raise unavailable(error, "There is no access to the event log.") from error


@dataclass(frozen=True)
class Backlog:
    """``events`` are not published yet, at most MOST_COUNTED; ``seconds`` is the age of
    the oldest."""

    events: int
    seconds: float


def read_backlog(engine: Engine) -> Backlog:
    """What waits for the relay, not yet settled events included.

    Raises:
        DatabaseUnavailable: PostgreSQL does not answer.
    """
    with translate_errors(), engine.connect() as connection:
        row = connection.execute(BACKLOG, {"most": MOST_COUNTED}).one()
    return Backlog(int(row[0]), float(row[1]))
