"""During an upgrade, processes of two releases share Redis and PostgreSQL.
`tests/releases.py` says where the examples come from."""

import base64
import json
from contextlib import closing
from typing import Any
from uuid import uuid4

import pytest
from sqlmodel import Session, col, select

from app.core.database import create_sync_engine
from app.core.database_settings import DatabaseSettings
from app.models.database import DataProcessingRecord
from tests.integration.conftest import Start
from tests.integration.responder import Responder, wait_until
from tests.releases import newest_example

EXAMPLE = newest_example()
EMBEDDED = {"callbacks": None, "errbacks": None, "chain": None, "chord": None}


def recorded(task_id: str, queue: str, more: dict[str, Any]) -> str:
    """The message of one task; ``more`` is what a newer release would add."""
    request = json.dumps({"payload": 1, "description": None, **more})
    arguments = {"task_id": task_id, "request": request, "request_id": "r"}
    arguments["queue_name"] = queue
    body = json.dumps([[], {**arguments, **more}, {**EMBEDDED, **more}])
    ids = {"id": task_id, "root_id": task_id}
    return json.dumps(
        {
            **EXAMPLE["task"],
            **more,
            "body": base64.b64encode(body.encode()).decode(),
            "headers": {**EXAMPLE["task"]["headers"], **ids, **more},
            "properties": {
                **EXAMPLE["task"]["properties"],
                "correlation_id": task_id,
                **more,
            },
        }
    )


@pytest.mark.parametrize("more", [{}, {"new": 1, "newer": {"any": None}}])
def test_a_task_of_another_release_is_processed(
    start: Start,
    database_settings: DatabaseSettings,
    responder: Responder,
    redis: Any,
    more: dict[str, Any],
) -> None:
    task_id = str(uuid4())
    record = DataProcessingRecord(
        task_id=task_id,
        queue_name=responder.queue,
        payload=1,
        task_status="Processing",
    )
    engine = create_sync_engine(database_settings)
    with Session(engine) as session:
        session.add(record)
        session.commit()
    redis.lpush("default", recorded(task_id, responder.queue, more))
    start("threads")
    query = select(DataProcessingRecord.task_status).where(
        DataProcessingRecord.task_id == task_id
    )

    def status() -> str:
        with Session(engine) as session:
            return session.exec(query).one()

    wait_until(lambda: status() != "Processing", 30)
    assert status() == "Success"
    engine.dispose()


def test_the_last_release_writes_and_reads_its_columns(
    database_settings: DatabaseSettings,
) -> None:
    """And what it changes has events, as if this release had changed it."""
    task_id = str(uuid4())
    engine = create_sync_engine(database_settings)
    with closing(engine.raw_connection()) as connection:
        cursor = connection.cursor()

        def run(name: str) -> list[Any]:
            cursor.execute(EXAMPLE["statements"][name], {"task_id": task_id})
            return list(cursor.fetchall()) if cursor.description else []

        for name in ("accept", "log", "end", "store"):
            run(name)
        assert cursor.rowcount == 1
        assert len(run("read_records")) == 2 and len(run("read_logs")) == 1
        assert run("sweep") is not None
        cursor.execute(
            "SELECT type FROM record_events WHERE subject = %s ORDER BY sequence",
            [task_id],
        )
        assert [row[0] for row in cursor.fetchall()] == [
            "record.accepted",
            "record.succeeded",
        ]
        connection.commit()
    with Session(engine) as session:
        query = select(DataProcessingRecord)
        record = session.exec(
            query.where(col(DataProcessingRecord.task_id) == task_id)
        ).one()
    assert (record.task_status, record.owner) == ("Success", None)
    assert list(record.payload) == ["b", "a"]
    engine.dispose()
