"""During an upgrade, API and worker of two releases share Redis."""

import base64
import json
from typing import Any
from uuid import uuid4

import pytest
from sqlmodel import Session, select

from app.core.database import create_sync_engine
from app.core.database_settings import DatabaseSettings
from app.models.database import DataProcessingRecord
from tests.integration.conftest import Start
from tests.integration.responder import Responder, wait_until

#: Headers and properties of a task, as the first release left them in Redis.
RECORDED: dict[str, Any] = json.loads("""
{"content-encoding": "utf-8", "content-type": "application/json",
 "headers": {"lang": "py", "task": "app.tasks.data.process_data",
  "shadow": null, "eta": null, "expires": null, "group": null, "group_index": null,
  "retries": 0, "timelimit": [null, null], "parent_id": null, "argsrepr": "()",
  "kwargsrepr": "{}", "origin": "gen14982@vm", "ignore_result": true,
  "replaced_task_nesting": 0, "stamped_headers": null, "stamps": {}},
 "properties": {"reply_to": "94867011-9de2-373b-abd0-a3fcfec7af9d", "argsrepr": "()",
  "kwargsrepr": "{}", "delivery_mode": 2, "priority": 0, "body_encoding": "base64",
  "delivery_info": {"exchange": "", "routing_key": "default"},
  "delivery_tag": "4c9d3800-3074-4054-9650-8233d335c4be"}}
""")
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
            **RECORDED,
            **more,
            "body": base64.b64encode(body.encode()).decode(),
            "headers": {**RECORDED["headers"], **ids, **more},
            "properties": {**RECORDED["properties"], "correlation_id": task_id, **more},
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
