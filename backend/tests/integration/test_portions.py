"""Statements on many rows take some at a time, and wait for no row of others."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from types import ModuleType
from typing import Any

import pytest
from sqlalchemy import Connection, text
from sqlmodel import Session

from app.repositories import (
    data_repository,
    delivery_repository,
    event_log,
    task_repository,
)
from app.repositories.data_repository import failure
from app.tasks.resources import get_worker_resources
from tests.integration.records import add_record

pytestmark = pytest.mark.usefixtures("worker")

DAY, HOUR = timedelta(days=1), timedelta(hours=1)

LOGS = """INSERT INTO task_logs
    (task_id, correlation_id, queue_name, service_name, status, created_at)
    SELECT 'portion', 'r', 'q', 's', 'end', now() - interval '2 days'
    FROM generate_series(1, 3)"""
RECORDS = """INSERT INTO data_processing_records (task_id, task_status, created_at)
    SELECT 'portion' || n, 'Success', now() - interval '2 days'
    FROM generate_series(1, 3) AS n"""
DELIVERIES = """WITH hook AS (
        INSERT INTO webhooks (url, host, types, secret, position)
        VALUES ('u', 'h', '[]', 's', 0) RETURNING id
    ) INSERT INTO webhook_deliveries
        (webhook_id, sequence, event_id, type, status, created_at)
    SELECT id, n, gen_random_uuid(), 't', 'failed', now() - interval '2 days'
    FROM hook, generate_series(1, 3) AS n"""


@pytest.fixture
def connection() -> Iterator[Connection]:
    """Of somebody else."""
    with get_worker_resources().engine.connect() as connection:
        yield connection
        connection.rollback()
        for table in ("task_logs", "data_processing_records", "webhooks"):
            connection.execute(text(f"DELETE FROM {table}"))
        connection.commit()


@pytest.mark.parametrize(
    ("module", "delete_some", "table", "rows"),
    [
        (task_repository, task_repository.delete_old_logs, "task_logs", LOGS),
        (
            data_repository,
            data_repository.delete_old_records,
            "data_processing_records",
            RECORDS,
        ),
        (
            delivery_repository,
            delivery_repository.delete_old_deliveries,
            "webhook_deliveries",
            DELIVERIES,
        ),
    ],
    ids=["logs", "records", "deliveries"],
)
def test_old_rows_go_some_at_a_time_past_those_of_others(
    connection: Connection,
    monkeypatch: pytest.MonkeyPatch,
    module: ModuleType,
    delete_some: Callable[[Session, timedelta], bool],
    table: str,
    rows: str,
) -> None:
    monkeypatch.setattr(module, "PRUNE_AT_ONCE", 1)
    for other in ("task_logs", "data_processing_records", "webhooks"):
        connection.execute(text(f"DELETE FROM {other}"))
    connection.execute(text(rows))
    connection.commit()
    connection.execute(text(f"SELECT FROM {table} ORDER BY id LIMIT 1 FOR UPDATE"))
    left = []
    with Session(get_worker_resources().engine) as session:
        while delete_some(session, DAY):
            left.append(session.scalar(text(f"SELECT count(*) FROM {table}")))
            session.commit()
    assert left == [2, 1]


def test_old_events_go_some_at_a_time(
    connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_log, "DELETE_AT_ONCE", 1)
    connection.execute(text("""INSERT INTO record_events (type, subject, data, time)
        SELECT 'a.b', 'gone', '1', now() - interval '2 days'
        FROM generate_series(1, 2)"""))
    connection.execute(text("UPDATE event_relay SET position = 9223372036854775807"))
    assert event_log.delete_old_events(connection, DAY) == 1


def test_the_sweep_looks_at_the_oldest_first(
    connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(data_repository, "STALE_AT_ONCE", 2)
    ids = [add_record(hours * HOUR) for hours in (2, 4, 3)]
    with Session(get_worker_resources().engine) as session:
        assert data_repository.find_stale(session, HOUR) == [ids[1], ids[2]]


def test_the_sweep_waits_for_no_record_and_takes_only_a_stale_one(
    connection: Connection,
) -> None:
    task_id = add_record(2 * HOUR)
    with Session(get_worker_resources().engine) as session:
        locked: Any = data_repository.lock_stale(session, task_id, HOUR)
        assert locked.task_id == task_id
        with Session(get_worker_resources().engine) as other:
            assert data_repository.lock_stale(other, task_id, HOUR) is None
    with Session(get_worker_resources().engine) as session:
        assert data_repository.lock_stale(session, task_id, 3 * HOUR) is None
        end = failure("x", "y")
        data_repository.end_record(get_worker_resources().engine, task_id, end)
        assert data_repository.lock_stale(session, task_id, -HOUR) is None
