"""The servers' contents at the end, read without the API."""

from typing import Any, Protocol

import psycopg2

from local.servers.broker import Broker
from tests.chaos.events import Logged
from tests.chaos.ledger import Row
from tests.chaos.subscriber import NAME
from tests.e2e.client import wait_for


class Database(Protocol):
    """A PostgreSQL, of one server or of several."""

    def url(self) -> str:
        """Its SQLAlchemy URL."""


def unfinished(postgres: Database) -> int:
    """The number of accepted works that have not ended."""
    query = "SELECT id FROM data_processing_records WHERE task_status = %s"
    return len(_ask(postgres, query, "Processing"))


def rows(postgres: Database) -> list[Row]:
    """Every record."""
    query = (
        "SELECT task_id, payload, task_status, outcome FROM data_processing_records"
        " WHERE id > %s"
    )
    return [Row(*row) for row in _ask(postgres, query, 0)]


def log(postgres: Database) -> list[Logged]:
    """The event log, in order."""
    query = (
        "SELECT sequence, subject, type FROM record_events WHERE sequence > %s"
        " ORDER BY sequence"
    )
    return [Logged(*row) for row in _ask(postgres, query, 0)]


def effects(postgres: Database) -> list[Logged]:
    """What the events did in the service, in that order."""
    query = f"SELECT sequence, subject FROM {NAME}.effects WHERE number > %s"
    return [Logged(*row) for row in _ask(postgres, f"{query} ORDER BY number", 0)]


def newest_event(postgres: Database) -> int:
    """The sequence of the last event of a record."""
    query = "SELECT max(sequence) FROM record_events WHERE type LIKE %s"
    return int(_ask(postgres, query, "record.%")[0][0])


def position(postgres: Database) -> int:
    """The sequence up to which the relay has published."""
    return int(_ask(postgres, "SELECT position FROM event_relay WHERE %s", True)[0][0])


def newest_effect(postgres: Database) -> int:
    """The sequence of the event that the service handled last."""
    query = f"SELECT sequence FROM {NAME}.effects ORDER BY number DESC LIMIT %s"
    found = _ask(postgres, query, 1)
    return int(found[0][0]) if found else 0


def active_relay(postgres: Database) -> str | None:
    """The name of the relay process that has the lock; None between two turns."""
    query = (
        "SELECT application_name FROM pg_locks JOIN pg_stat_activity USING (pid)"
        " WHERE locktype = 'advisory' AND granted AND application_name LIKE %s"
    )
    found = _ask(postgres, query, "event-relay%")
    return str(found[0][0]) if found else None


def _ask(postgres: Database, query: str, value: object) -> list[tuple[Any, ...]]:
    connection = psycopg2.connect(postgres.url().replace("+psycopg2", ""))
    try:
        with connection.cursor() as cursor:
            cursor.execute(query, [value])
            return cursor.fetchall()
    finally:
        connection.close()


def dead_letters(rabbitmq: Broker, queue: str) -> list[tuple[str, str]]:
    """The reason and body of each dead letter; they stay in the queue."""
    with rabbitmq.connect() as connection:
        channel = connection.channel()
        found = []
        while message := channel.basic_get(queue):
            reason = (message.headers or {})["x-first-death-reason"]
            body = message.body
            text = body if isinstance(body, str) else body.decode(errors="replace")
            found.append((str(reason), text))
    return found


def wait_empty(rabbitmq: Broker, queue: str) -> None:
    """Wait until no message waits in a queue or with its consumers."""

    def depth() -> int:
        with rabbitmq.connect() as connection:
            answer = connection.channel().queue_declare(queue, passive=True)
            return answer[1] if answer else 0

    wait_for(lambda: depth() == 0, f"the end of {queue}")
