"""The relay publishes what happened: everything, in order, whatever fails."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg2
import pytest
from sqlalchemy import text

from app.core.database import create_sync_engine
from app.core.database_settings import DatabaseSettings
from app.core.event_settings import SOURCE
from app.core.exceptions import DatabaseUnavailable
from app.repositories import relay_repository
from app.repositories.relay_repository import Backlog, read_backlog, relay_turn
from app.services.relay_service import MAX_EVENT_BYTES
from chassis.settings import RabbitMQSettings
from local.servers.postgres import PostgreSQL
from local.servers.rabbitmq import RabbitMQ
from local.servers.redis import Redis
from tests.integration.relays import RelayProcess, Subscriber
from tests.integration.responder import wait_until

INSERT = """INSERT INTO record_events (type, subject, data, owner, traceparent)
VALUES ('record.tested', %s, %s, 'alice', %s)"""
SEQUENCES = "SELECT sequence FROM record_events WHERE sequence > %s ORDER BY sequence"
MOVE = "UPDATE event_relay SET position = (SELECT max(sequence) FROM record_events)"
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

# The snapshot and the id of the relay's transaction.
WAITING = """SELECT backend_xid, backend_xmin FROM pg_stat_activity
WHERE state = 'idle in transaction' AND datname = current_database()"""

ROLLED_BACK = """SELECT xact_rollback FROM pg_stat_database
WHERE datname = current_database()"""

TAKEOVER = 5.0


class Log:
    """The event log, over connections of the test's own."""

    def __init__(self, url: str) -> None:
        self._url = url.replace("postgresql+psycopg2", "postgresql")
        self._open: list[Any] = []
        self.began = -1

    def connect(self) -> Any:
        """A further connection, in a transaction of its own."""
        self._open.append(psycopg2.connect(self._url))
        return self._open[-1].cursor()

    def run(self, statement: str, *values: object) -> Any:
        """In a transaction of its own; returns the rows."""
        with psycopg2.connect(self._url) as connection, connection.cursor() as cursor:
            cursor.execute(statement, values)
            return cursor.fetchall() if cursor.description else None

    def add(self, *subjects: str, data: object = 1) -> None:
        """One event for each, and each in a transaction of its own."""
        for subject in subjects:
            self.run(INSERT, subject, json.dumps(data), TRACE)

    @property
    def sequences(self) -> list[int]:
        """Of the events of this test."""
        return [sequence for (sequence,) in self.run(SEQUENCES, self.began)]

    @property
    def position(self) -> int:
        """How far the relay says it is."""
        return int(self.run("SELECT position FROM event_relay")[0][0])

    def close(self) -> None:
        for connection in self._open:
            connection.close()


@pytest.fixture
def log(migrated_url: str) -> Iterator[Log]:
    """Everything before is published."""
    log = Log(migrated_url)
    log.add("before")
    log.run(MOVE)
    log.began = log.position
    yield log
    log.close()
    log.run("UPDATE event_relay SET position = -1")


@pytest.fixture
def exchange() -> str:
    return f"events-{uuid4().hex[:8]}"


@pytest.fixture
def subscriber(
    rabbitmq_settings: RabbitMQSettings, exchange: str
) -> Iterator[Subscriber]:
    subscriber = Subscriber(rabbitmq_settings, exchange)
    yield subscriber
    subscriber.delete()


StartRelay = Callable[..., RelayProcess]


@pytest.fixture
def start_relay(
    rabbitmq_settings: RabbitMQSettings,
    migrated_url: str,
    exchange: str,
    log: Log,
    tmp_path: Path,
) -> Iterator[StartRelay]:
    """Starts relays; pytest shows what they said together with a failure."""
    env = {
        "RABBITMQ_HOST": rabbitmq_settings.host,
        "RABBITMQ_PORT": str(rabbitmq_settings.port),
        "RABBITMQ_USER": rabbitmq_settings.user,
        "RABBITMQ_PASSWORD": rabbitmq_settings.password.get_secret_value(),
        "RABBITMQ_VHOST": rabbitmq_settings.vhost,
        "DATABASE_URL": migrated_url,
        "EVENTS_EXCHANGE": exchange,
        "LOG_FORMAT": "text",
    }
    with ExitStack() as running:

        def start_relay(**variables: str) -> RelayProcess:
            file = tmp_path / f"relay-{uuid4().hex[:4]}.log"
            relay = RelayProcess({**env, **variables}, file)
            running.callback(lambda: print(relay.log.read_text()))
            running.callback(relay.kill)
            return relay

        yield start_relay


def wait_active(*relays: RelayProcess) -> tuple[RelayProcess, RelayProcess]:
    """The active one and another, as soon as each has its role."""
    wait_until(lambda: all(relay.has_role for relay in relays), 20)
    (active,) = [relay for relay in relays if relay.is_active]
    (other,) = [relay for relay in relays if relay is not active]
    return active, other


def assert_complete(subscriber: Subscriber, log: Log) -> None:
    """Every event arrived, in the order of the log, and names the one before it."""
    assert subscriber.sequences == log.sequences
    before = dict(zip(log.sequences, [log.began, *log.sequences], strict=False))
    for arrival in subscriber.arrivals:
        assert arrival.previous == before[arrival.event.sequence]


def test_each_event_arrives_once_and_in_order(
    start_relay: StartRelay, subscriber: Subscriber, log: Log
) -> None:
    """Two relays start at once, transactions commit out of order, and both relays stop
    in the end."""
    active, standby = wait_active(start_relay(), start_relay())
    late = log.connect()
    late.execute(INSERT, ["late", "1", None])
    log.add("early", "early", "other")
    assert subscriber.take() == 0
    late.connection.commit()
    log.add(*(f"s{number % 7}" for number in range(60)))
    subscriber.wait(64)
    assert len(subscriber.arrivals) == 64
    assert subscriber.subjects[:4] == ["late", "early", "early", "other"]
    assert_complete(subscriber, log)
    wait_until(lambda: log.position == log.sequences[-1])

    second = subscriber.arrivals[1]
    assert (second.event.owner, second.event.data) == ("alice", 1)
    assert second.event.source == SOURCE
    properties = second.properties
    assert properties["message_id"] == second.event.id
    assert properties["content_type"] == "application/cloudevents+json"
    assert properties["delivery_mode"] == 2
    assert properties["application_headers"]["traceparent"] == TRACE

    # Otherwise, nothing would be settled, and VACUUM would not work.
    wait_until(lambda: log.run(WAITING) == [(None, None)])
    for relay in (standby, active):
        began = time.monotonic()
        assert relay.stop() == 0
        assert time.monotonic() - began < 5
        assert "Traceback" not in relay.log.read_text()


@pytest.mark.promise("docs/EVENTS.md", "One relay works, others stand by.")
@pytest.mark.promise(
    "ARCHITECTURE.md", "A lock in PostgreSQL makes one relay the active one."
)
def test_another_relay_takes_over_at_once(
    start_relay: StartRelay, subscriber: Subscriber, log: Log
) -> None:
    active, other = wait_active(start_relay(), start_relay())
    log.add(*(f"a{number}" for number in range(50)))
    active.kill()
    killed = time.monotonic()
    log.add("after")
    wait_until(lambda: subscriber.take() >= 0 and "after" in subscriber.subjects)
    assert subscriber.arrivals[-1].moment - killed < TAKEOVER
    assert other.is_active
    assert_complete(subscriber, log)


def test_a_relay_that_hangs_loses_its_role(
    database_settings: DatabaseSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relay_repository, "IDLE_LIMIT", "300ms")
    hanging, other = (create_sync_engine(database_settings) for _ in range(2))

    def is_active() -> bool:
        with relay_turn(other) as turn:
            return turn is not None

    with pytest.raises(DatabaseUnavailable), relay_turn(hanging) as turn:
        assert turn is not None and not is_active()
        wait_until(is_active, TAKEOVER)
    for engine in (hanging, other):
        engine.dispose()


def test_the_role_ends_with_the_turn(database_settings: DatabaseSettings) -> None:
    """Behind a pooler, a lock of the session would stay with nobody's connection."""
    first, other = (create_sync_engine(database_settings) for _ in range(2))
    with first.connect() as kept:  # its session goes on
        kept.commit()
    limits = "idle_in_transaction_session_timeout", "tcp_user_timeout"
    for engine in (first, other, first):
        with relay_turn(engine) as turn:
            assert turn is not None
        with engine.connect() as connection:
            own = [connection.scalar(text(f"SHOW {name}")) for name in limits]
        assert own == ["0", "0"]
    for engine in (first, other):
        engine.dispose()


def test_its_position_never_goes_back(
    log: Log, database_settings: DatabaseSettings
) -> None:
    log.add("a", "b")
    first, second = log.sequences
    engine = create_sync_engine(database_settings)
    for position in (second, first):
        with relay_turn(engine) as turn:
            assert turn is not None
            turn.move(position)
    engine.dispose()
    assert log.position == second


def test_the_backlog_is_as_old_as_its_oldest_event(
    log: Log, database_settings: DatabaseSettings
) -> None:
    engine = create_sync_engine(database_settings)
    assert read_backlog(engine) == Backlog(0, 0.0)
    log.run("""INSERT INTO record_events (type, subject, data, time)
        VALUES ('record.tested', 'old', '1', now() - interval '1 hour')""")
    log.add("new")
    found = read_backlog(engine)
    assert found.events == 2 and 3600 <= found.seconds < 3700
    log.run(MOVE)
    assert read_backlog(engine) == Backlog(0, 0.0)
    engine.dispose()


def test_a_broker_that_restarts_misses_nothing(
    start_relay: StartRelay, subscriber: Subscriber, log: Log, rabbitmq: RabbitMQ
) -> None:
    relay = start_relay()
    log.add("a", "b")
    subscriber.wait(2)
    rabbitmq.crash()
    log.add("a", "c", "a")
    rabbitmq.start()
    subscriber.connect()
    subscriber.wait(5)
    assert_complete(subscriber, log)
    said = relay.log.read_text()
    assert said.count("Lost rabbitmq") == 1 and "Traceback" not in said


def test_a_database_that_restarts_misses_nothing(
    start_relay: StartRelay, subscriber: Subscriber, log: Log, postgres: PostgreSQL
) -> None:
    relay = start_relay()
    log.add("a", "b")
    subscriber.wait(2)
    log.close()
    postgres.restart()
    log.add("a", "c")
    subscriber.wait(4)
    assert_complete(subscriber, log)
    assert "Traceback" not in relay.log.read_text()


@pytest.fixture
def full(rabbitmq_settings: RabbitMQSettings, exchange: str) -> Iterator[Subscriber]:
    """A subscriber whose queue has room for two events."""
    limits = {"x-max-length": 1, "x-overflow": "reject-publish"}
    subscriber = Subscriber(rabbitmq_settings, exchange, **limits)
    yield subscriber
    subscriber.delete()


@pytest.mark.promise("docs/EVENTS.md", "holds back the relay for everybody")
def test_a_full_queue_holds_the_log(
    start_relay: StartRelay, full: Subscriber, log: Log
) -> None:
    relay = start_relay()
    log.add("a", "a", "b", "a", "c", "a", "d")
    wait_until(lambda: "a queue of a subscriber is full" in relay.log.read_text(), 20)
    assert log.position < log.sequences[3]
    full.wait(7)
    assert_complete(full, log)
    wait_until(lambda: log.position == log.sequences[-1])
    wait_until(lambda: "accepts events again" in relay.log.read_text())


def test_nothing_is_published_while_positions_cannot_be_stored(
    start_relay: StartRelay, subscriber: Subscriber, log: Log, migrated_url: str
) -> None:
    """Otherwise it would publish the same events again and again."""
    name = migrated_url.rpartition("/")[2].partition("?")[0]
    writer = log.connect()
    only_reads = f"ALTER DATABASE {name} SET default_transaction_read_only"
    log.run(f"{only_reads} = on")
    try:
        relay = start_relay()
        writer.execute(INSERT, ["a", "1", None])
        writer.connection.commit()
        wait_until(lambda: "the server only reads" in relay.log.read_text(), 20)
        assert subscriber.take() == 0
    finally:
        writer.execute(f"{only_reads} = off")
        writer.connection.commit()
    subscriber.wait(1)
    assert len(subscriber.arrivals) == 1


FILL_DISK = """
CREATE FUNCTION fill_disk() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN RAISE disk_full; END $$;
CREATE TRIGGER fill BEFORE UPDATE ON event_relay EXECUTE FUNCTION fill_disk()"""


@pytest.mark.promise(
    "docs/EVENTS.md", "After a failure the relay may publish some events again"
)
def test_a_full_disk_makes_it_publish_once_more(
    start_relay: StartRelay, subscriber: Subscriber, log: Log
) -> None:
    """Only a write finds a full disk. Until one succeeds, nothing else is published."""
    log.run(FILL_DISK)
    try:
        relay = start_relay()
        log.add("a")
        rolled_back = log.run(ROLLED_BACK)[0][0]
        subscriber.wait(1)
        wait_until(lambda: log.run(ROLLED_BACK)[0][0] >= rolled_back + 4, 20)
        assert subscriber.take() == 0
        assert relay.log.read_text().count("DiskFull") == 1
    finally:
        log.run("DROP FUNCTION fill_disk CASCADE")
    wait_until(lambda: log.position == log.sequences[-1])
    subscriber.take()
    assert [each.event.subject for each in subscriber.arrivals] == ["a", "a"]


@pytest.mark.budget("relay_service.MAX_EVENT_BYTES")
def test_an_event_beyond_the_limit_comes_without_its_data(
    start_relay: StartRelay, subscriber: Subscriber, log: Log
) -> None:
    """The broker would refuse it, and the log would stop."""
    log.add("small")
    log.add("large", data="x" * (MAX_EVENT_BYTES - 1000))
    log.add("huge", data="x" * MAX_EVENT_BYTES)
    log.add("small")
    relay = start_relay()
    subscriber.wait(4)
    assert_complete(subscriber, log)
    _, large, huge, _ = [arrival.event for arrival in subscriber.arrivals]
    assert len(large.data) == MAX_EVENT_BYTES - 1000 and huge.data is None
    assert (huge.subject, huge.owner) == ("huge", "alice")
    assert "is published without data" in relay.log.read_text()


def test_it_stops_without_a_broker(start_relay: StartRelay) -> None:
    relay = start_relay(RABBITMQ_PORT="1")
    wait_until(lambda: "No connection to" in relay.log.read_text(), 20)
    began = time.monotonic()
    assert relay.stop() == 0
    assert time.monotonic() - began < 5
    assert "Traceback" not in relay.log.read_text()


@pytest.mark.promise("ARCHITECTURE.md", "With RPC over Redis there is no relay.")
def test_there_is_no_relay_without_rabbitmq(
    start_relay: StartRelay, redis_server: Redis
) -> None:
    relay = start_relay(RPC_BROKER_URL=redis_server.url(1))
    assert relay.process.wait(20) == 1
    assert "events are published to RabbitMQ alone" in relay.log.read_text()
