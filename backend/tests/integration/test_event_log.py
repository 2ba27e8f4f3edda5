"""The event log: each change has its event, in an order that readers can follow."""

import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from typing import Any
from uuid import uuid4

import psycopg2
import psycopg2.errors
import pytest
from pydantic import BaseModel
from sqlalchemy import text

from app.core.database import Database, create_sync_engine
from app.core.database_settings import DatabaseSettings
from app.infrastructure.postgres.group_commit import GroupCommit
from app.models import event_types
from app.models.event_types import new_event
from app.models.schemas import TaskStatus
from app.models.webhooks import Webhook
from app.repositories.data_repository import DataRepository
from app.repositories.delivery_repository import events_after
from app.repositories.event_log import compare_records
from app.repositories.event_repository import (
    EventFilter,
    StoredEvent,
    add_event,
    find_subject,
    name_cause,
    read_events,
)
from app.repositories.webhook_repository import WebhookRepository
from app.services.event_stream import FINAL
from chassis.context import current_principal, current_request_id
from chassis.events.event import Event

PAYLOADS: list[Any] = [
    {"b": 1, "a": [1.50, None]},
    None,
    "text",
    12345678901234567890,
    [],
]


@pytest.fixture
def connect(migrated_url: str) -> Iterator[Any]:
    """Opens further connections, each in a transaction of its own."""
    opened = []

    def open_connection() -> Any:
        url = migrated_url.replace("postgresql+psycopg2", "postgresql")
        opened.append(psycopg2.connect(url))
        return opened[-1].cursor()

    yield open_connection
    for connection in opened:
        connection.close()


@pytest.fixture
def sql(connect: Any) -> Any:
    """Runs and commits one statement; returns its rows."""
    cursor = connect()

    def run(statement: str, *values: object) -> Any:
        with cursor.connection:
            cursor.execute(statement, values)
            return cursor.fetchall() if cursor.description else None

    return run


async def events_of(database: Database, subject: str) -> list[StoredEvent]:
    async with database.session() as session:
        return await read_events(session, 0, 100, EventFilter(subject=subject))


def row(payload: Any = "x", status: TaskStatus = TaskStatus.SUCCESS) -> Any:
    outcome = {"output": payload} if status is TaskStatus.SUCCESS else None
    return DataRepository.row(
        task_id=str(uuid4()),
        task_status=status,
        payload=payload,
        outcome=outcome,
        owner="alice",
        correlation_id="r-1",
    )


INSERT = "INSERT INTO data_processing_records (task_id, task_status) VALUES (%s, %s)"
END = """UPDATE data_processing_records SET task_status = %s, updated_at = now()
WHERE task_id = %s"""
SUCCEED = """UPDATE data_processing_records
SET task_status = 'Success', outcome = '"secret"' WHERE task_id = %s"""
DELETE = "DELETE FROM data_processing_records WHERE task_id = %s"


@pytest.mark.promise(
    "docs/adr/0013-events-by-trigger.md",
    "Nobody can change a record and forget the event, not even with psql.",
)
@pytest.mark.promise(
    "docs/EVENTS.md", "No change without its event, no event without its change."
)
async def test_each_change_has_its_event(
    database: Database, commits: GroupCommit, sql: Any
) -> None:
    new = row({"a": 1.50}, TaskStatus.PROCESSING)
    task_id = new.values["task_id"]
    await commits.add([new])
    sql("UPDATE data_processing_records SET updated_at = now() WHERE id > 0")
    sql(END, "Failure", task_id)
    sql(END, "Failure", task_id)  # no change
    accepted, failed = await events_of(database, task_id)
    assert (accepted.type, failed.type) == ("record.accepted", "record.failed")
    assert accepted.sequence < failed.sequence
    event = Event.parse(accepted.to_json("/here").encode())
    assert (event.subject, event.owner, event.actor) == (task_id, "alice", "alice")
    assert event.correlationid == "r-1" and event.data["payload"] == {"a": 1.50}
    assert event.sequence == accepted.sequence and event.source == "/here"


@pytest.mark.promise(
    "docs/EVENTS.md",
    "Deleting a record redacts payload and outcome in its events; the facts stay.",
)
async def test_a_deletion_redacts_the_events_of_its_record_alone(
    database: Database, commits: GroupCommit, sql: Any
) -> None:
    new, other = row("secret", status=TaskStatus.PROCESSING), row("kept")
    await commits.add([new, other])
    sql(SUCCEED, new.values["task_id"])
    current_principal.set("root")
    current_request_id.set("r-2")
    async with database.session() as session:
        assert await DataRepository(session).delete(new.values["task_id"])
        await session.commit()
    *changes, deleted = await events_of(database, new.values["task_id"])
    assert [each.type for each in changes] == ["record.accepted", "record.succeeded"]
    for each in changes:
        assert "secret" not in each.data and '"redacted' not in each.data
        assert '"payload" : null' in each.data and '"outcome" : null' in each.data
    assert deleted.type == "record.deleted" and "secret" not in deleted.data
    assert (deleted.owner, deleted.actor) == ("alice", "root")
    assert deleted.correlation_id == "r-2"
    (untouched,) = await events_of(database, other.values["task_id"])
    assert "kept" in untouched.data


@pytest.mark.promise(
    "docs/EVENTS.md", "No change without its event, no event without its change."
)
async def test_what_is_rolled_back_has_no_event(
    database: Database, connect: Any, commits: GroupCommit
) -> None:
    new = row()
    await commits.add([new])
    cursor = connect()
    cursor.execute(DELETE, [new.values["task_id"]])
    cursor.connection.rollback()
    (event,) = await events_of(database, new.values["task_id"])
    assert event.type == "record.succeeded"


@pytest.mark.promise("docs/EVENTS.md", "The log is append-only.")
@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE record_events SET data = '{}'",
        "UPDATE record_events SET sequence = -sequence",
        "DELETE FROM record_events",
        "TRUNCATE record_events",
        "DELETE FROM data_processing_records; DELETE FROM record_events",
    ],
)
async def test_the_log_is_append_only(
    commits: GroupCommit, sql: Any, statement: str
) -> None:
    await commits.add([row()])
    with pytest.raises(psycopg2.errors.InsufficientPrivilege, match="append-only"):
        sql(statement)


@pytest.mark.promise(
    "docs/EVENTS.md",
    "Readers stop below the oldest running transaction, so a lower number can "
    "never appear later.",
)
@pytest.mark.promise(
    "docs/EVENTS.md",
    "A reader that goes upwards by `sequence` sees every event, even if a "
    "transaction commits late.",
)
async def test_nobody_skips_what_commits_late(
    database: Database, commits: GroupCommit, connect: Any
) -> None:
    late, early = connect(), row()
    late.execute(INSERT, ["late-1", "Success"])
    await commits.add([early])
    task_id = early.values["task_id"]
    # A higher number is committed; nobody sees it before the lower one.
    assert await events_of(database, task_id) == []
    async with database.session() as session:
        position = await WebhookRepository(session).first_position()
        for owner in (None, "alice"):
            hook = Webhook(
                events_of=owner, position=position, url="", host="", types=[], secret=""
            )
            ahead = await session.run_sync(partial(events_after, webhook=hook, limit=9))
            assert ahead == []
    late.execute(INSERT, ["late-2", "Success"])
    late.connection.commit()
    (seen,) = await events_of(database, task_id)
    (first,) = await events_of(database, "late-1")
    (second,) = await events_of(database, "late-2")
    assert position < first.sequence < second.sequence < seen.sequence


async def test_a_subject_ends_when_its_last_event_is_settled(
    database: Database, commits: GroupCommit, connect: Any
) -> None:
    """A reader would else leave before that one."""
    late, ended = connect(), row()
    late.execute("SELECT pg_current_xact_id()")
    await commits.add([ended])
    wanted = EventFilter(subject=ended.values["task_id"])
    async with database.session() as session:
        assert await find_subject(session, wanted, FINAL) == (True, None)
        late.connection.commit()
        (event,) = await read_events(session, 0, 10, wanted)
        assert await find_subject(session, wanted, FINAL) == (True, event.sequence)


async def test_a_subject_ends_with_its_first_final_event(
    database: Database, commits: GroupCommit, sql: Any
) -> None:
    """Who has seen it is told that there is no more; the deletion of the record, months
    later, is no reason to wait."""
    ended = row()
    await commits.add([ended])
    task_id = ended.values["task_id"]
    sql(DELETE, task_id)
    first, deleted = await events_of(database, task_id)
    assert {first.type, deleted.type} < {*FINAL}
    async with database.session() as session:
        found = await find_subject(session, EventFilter(subject=task_id), FINAL)
    assert found == (True, first.sequence)


async def test_a_cause_ends_with_its_transaction(database: Database) -> None:
    """Its connection serves other callers next."""
    token = current_principal.set("alice")
    setting = text("SELECT current_setting('events.actor', true)")
    async with database.session() as session:
        await name_cause(session)
        assert await session.scalar(setting) == "alice"
        await session.commit()
        assert not await session.scalar(setting)
    current_principal.reset(token)


def test_records_and_log_are_compared_as_of_one_moment(
    database_settings: DatabaseSettings,
) -> None:
    engine = create_sync_engine(database_settings)
    with engine.connect() as connection:
        compare_records(connection)
        isolation = connection.scalar(text("SHOW transaction_isolation"))
    engine.dispose()
    assert isolation == "repeatable read"


async def test_the_later_change_has_the_higher_number(
    commits: GroupCommit, connect: Any
) -> None:
    """Or it fails, and is tried again."""
    new = row(status=TaskStatus.PROCESSING)
    await commits.add([new])
    older, younger = connect(), connect()
    older.execute("SELECT pg_current_xact_id()")
    younger.execute(END, ["Success", new.values["task_id"]])
    younger.connection.commit()
    with pytest.raises(psycopg2.errors.SerializationFailure):
        older.execute(DELETE, [new.values["task_id"]])


@pytest.mark.promise(
    "docs/EVENTS.md",
    "After you restore a dump into another server, numbers go on above the "
    "highest one",
)
async def test_a_log_from_another_server_goes_on(
    database: Database, commits: GroupCommit, sql: Any
) -> None:
    """Whose transactions had higher ids."""
    far = 1 << 55
    insert = """INSERT INTO record_events (sequence, type, subject, data)
    VALUES (%s, 'test.loaded', %s, '{}')"""
    sql(insert, far, "restored")
    assert [e.sequence for e in await events_of(database, "restored")] == [far]
    new = [row(), row()]
    for each in new:
        await commits.add([each])
    found = [await events_of(database, each.values["task_id"]) for each in new]
    numbers = [event.sequence for events in found for event in events]
    assert len(numbers) == 2 and far < numbers[0] < numbers[1] < far + (1 << 40)


def test_one_transaction_at_a_time_lifts_the_numbers(connect: Any) -> None:
    """The lower one of two results could stay, and numbers would come twice."""
    first, second = connect(), connect()
    lift = "SELECT raise_event_log_base()"
    first.execute(lift)
    second.execute("SET LOCAL lock_timeout = '50ms'")
    with pytest.raises(psycopg2.errors.LockNotAvailable):
        second.execute(lift)
    second.connection.rollback()
    first.connection.commit()
    second.execute(lift)


def test_a_transaction_takes_no_number_of_the_next_one(connect: Any) -> None:
    """Each has 1,048,576 of them."""
    fill = """INSERT INTO record_events (sequence, type, subject, data)
    SELECT next_event_sequence() + (1 << 20) - 2, 'test.filled', 'many', '{}'
    RETURNING sequence"""
    insert = """INSERT INTO data_processing_records (task_id, task_status)
    SELECT 'many-' || n, 'Success' FROM generate_series(1, %s) AS n"""
    cursor = connect()
    cursor.execute(fill)
    ((newest,),) = cursor.fetchall()
    cursor.execute(insert, [1])
    cursor.execute("SELECT sequence FROM record_events WHERE subject = 'many-1'")
    assert cursor.fetchall() == [(newest + 1,)]
    cursor.connection.rollback()
    cursor.execute(fill)
    with pytest.raises(psycopg2.errors.ProgramLimitExceeded):
        cursor.execute(insert, [2])


class Total(BaseModel):
    total: int


async def test_own_events_are_in_the_transaction_of_their_change(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_types, "EVENT_TYPES", {})
    kinds = [new_event(f"order.{word}", Total, word) for word in ("paid", "sent")]
    current_principal.set("bob")
    subject, three = str(uuid4()), Total(total=3)
    async with database.session() as session:
        await add_event(session, kinds[0], subject, three)
        await session.rollback()
        await add_event(session, kinds[0], subject, three)
        await add_event(session, kinds[1], subject, three, owner="carol")
        await session.commit()
    paid, sent = await events_of(database, subject)
    assert (paid.type, paid.owner, paid.actor) == ("order.paid", "bob", "bob")
    assert (sent.type, sent.owner, sent.actor) == ("order.sent", "carol", "bob")
    assert paid.data == '{"total":3}' or paid.data == '{"total": 3}'


def maintain(url: str, *arguments: str) -> tuple[int, str]:
    run = subprocess.run(
        [sys.executable, "-m", "app.event_log", *arguments],
        env={"DATABASE_URL": url, "PATH": ""},
        capture_output=True,
        text=True,
    )
    return run.returncode, run.stdout.strip() or run.stderr


FOUND = "{} {} missing, {} different, {} surplus records"


@pytest.mark.promise(
    "docs/adr/0013-events-by-trigger.md", "the last event of a record rebuilds it"
)
@pytest.mark.promise("docs/EVENTS.md", "The log explains the records.")
async def test_the_records_can_be_rebuilt(
    commits: GroupCommit, migrated_url: str, sql: Any
) -> None:
    table = "SELECT r::text FROM data_processing_records AS r ORDER BY id"
    sql("INSERT INTO record_events (type, subject, data) VALUES ('a.b', 'own', '1')")
    ended = row(status=TaskStatus.PROCESSING)
    new = [ended, *map(row, PAYLOADS), row(status=TaskStatus.PROCESSING)]
    await commits.add(new)
    sql(END, "Success", ended.values["task_id"])
    sql(DELETE, new[-2].values["task_id"])
    ids = [each.values["task_id"] for each in new]
    own = {stored for stored in sql(table) if any(each in stored[0] for each in ids)}
    maintain(migrated_url, "rebuild", "--apply")  # other tests left differences
    expected = sql(table)
    assert own <= {*expected}
    assert maintain(migrated_url, "rebuild") == (0, FOUND.format("Found", 0, 0, 0))

    with_triggers = "ALTER TABLE data_processing_records {} TRIGGER USER"
    sql(with_triggers.format("DISABLE"))
    sql(DELETE, ended.values["task_id"])
    change = "UPDATE data_processing_records SET payload = '2' WHERE task_id = %s"
    sql(change, new[2].values["task_id"])
    sql(INSERT, new[-2].values["task_id"], "Success")
    sql(INSERT, str(uuid4()), "Success")  # older than the log: no event, no difference
    sql(with_triggers.format("ENABLE"))
    damaged = sql(table)
    status, said = maintain(migrated_url, "rebuild")
    assert status == 1 and said == FOUND.format("Found", 1, 1, 1), said
    assert sql(table) == damaged
    status, said = maintain(migrated_url, "rebuild", "--apply")
    assert status == 0 and said == FOUND.format("Corrected", 1, 1, 1), said
    assert sorted({*sql(table)} - {*expected}) == damaged[-1:]
    assert maintain(migrated_url, "rebuild")[0] == 0


@pytest.mark.parametrize("days", ["-1", "nan", "inf", "x", "1e300", ""])
def test_an_age_is_a_number_of_days(migrated_url: str, days: str) -> None:
    status, said = maintain(migrated_url, "prune", "--", days)
    assert status == 2 and "Traceback" not in said
    assert "DAYS: write a number from 0" in said


@pytest.mark.promise(
    "docs/EVENTS.md",
    "Events of an existing record stay, so the log can always rebuild it.",
)
async def test_old_events_go_when_their_record_is_gone(
    database: Database, commits: GroupCommit, migrated_url: str, sql: Any
) -> None:
    gone, kept = row(), row()
    await commits.add([gone, kept])
    sql(DELETE, gone.values["task_id"])
    assert maintain(migrated_url, "prune", "0") == (0, "Deleted 0 events")  # not sent
    sql("UPDATE event_relay SET position = settled_events()")
    assert maintain(migrated_url, "prune", "1") == (0, "Deleted 0 events")
    assert maintain(migrated_url, "prune", "0")[0] == 0
    assert await events_of(database, gone.values["task_id"]) == []
    assert len(await events_of(database, kept.values["task_id"])) == 1
    sql("UPDATE event_relay SET position = -1")
