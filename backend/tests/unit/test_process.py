"""What synchronous and accepted work leave in the tables, and what they answer."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

import pytest

from app.core.exceptions import AlreadyStored, DatabaseUnavailable, DeadlineExceeded
from app.core.services import Service
from app.infrastructure.rabbitmq import LogEvent
from app.models.database import DataProcessingRecord, TaskLog
from app.models.schemas import AsyncDataRequest, DataRequest, Priority
from app.services.data_service import DataService
from chassis.context import current_principal, current_request_id
from chassis.rpc.wire import Reply


class World:
    """The service, the queue of tasks and the tables."""

    def __init__(self) -> None:
        self.failure: Exception | None = None
        self.refusals: list[Exception] = []
        self.tables: dict[Any, list[dict[str, Any]]] = {
            DataProcessingRecord: [],
            TaskLog: [],
        }

    async def call(self, queue: str, payload: Any, **options: Any) -> Reply:
        note = options["on_log_event"]
        ids = options["task_id"], options["correlation_id"]
        note(LogEvent("start", queue, *ids))
        if self.failure:
            note(LogEvent("deadline_exceeded", queue, *ids))
            raise self.failure
        note(LogEvent("end", queue, *ids, "kind"))
        return Reply("new", "kind")

    async def publish(self, message: Any) -> None: ...

    async def add(self, rows: list[Any]) -> None:
        if self.refusals:
            raise self.refusals.pop()
        for row in rows:
            self.tables[row.table].append(row.values)

    @asynccontextmanager
    async def session(self) -> AsyncIterator[Any]:
        async def find(_: Any) -> Any:
            stored = SimpleNamespace(outcome="first")
            return SimpleNamespace(one_or_none=lambda: stored)

        yield SimpleNamespace(exec=find)


@pytest.fixture
def world() -> Iterator[World]:
    tokens = current_principal.set("alice"), current_request_id.set("r-1")
    yield World()
    current_principal.reset(tokens[0])
    current_request_id.reset(tokens[1])


def service(world: Any) -> DataService:
    return DataService(
        Service("data", "data_queue"),
        producer=world,
        publisher=world,
        database=world,
        commits=world,
        tasks=world,
    )


REQUEST = DataRequest(payload=1, description="reverse")


async def test_a_record_says_whose_it_is_and_what_came_of_it(world: World) -> None:
    task_id, outcome = await service(world).process(REQUEST)
    (record,) = world.tables[DataProcessingRecord]
    expected = {
        "task_id": task_id,
        "task_status": "Success",
        "queue_name": "data_queue",
        "owner": "alice",
        "correlation_id": "r-1",
        "payload": 1,
        "description": "reverse",
        "task_type": "kind",
        "outcome": "new",
    }
    assert expected.items() <= record.items() and outcome == "new"
    logs = world.tables[TaskLog]
    assert [log["status"] for log in logs] == ["start", "end"]
    assert {(log["owner"], log["description"]) for log in logs} == {
        ("alice", "reverse")
    }


async def test_accepted_work_keeps_what_a_worker_needs(world: World) -> None:
    """Its record is all that is left if Redis loses it."""
    request = AsyncDataRequest(payload=1, priority=Priority.HIGH)
    await service(world).accept(request)
    (record,) = world.tables[DataProcessingRecord]
    assert (record["priority"], record["owner"]) == ("high", "alice")
    assert (record["queue_name"], record["correlation_id"]) == ("data_queue", "r-1")


async def test_work_that_was_stored_before_has_its_first_outcome(world: World) -> None:
    world.refusals = [AlreadyStored("a row with that id exists")]
    _, outcome = await service(world).process(REQUEST)
    assert outcome == "first"
    assert [log["status"] for log in world.tables[TaskLog]] == ["start", "end"]


@pytest.mark.parametrize("is_logged", [True, False])
async def test_a_call_that_failed_is_the_error_whatever_becomes_of_its_log(
    world: World, is_logged: bool
) -> None:
    world.failure = DeadlineExceeded("no answer")
    world.refusals = [] if is_logged else [DatabaseUnavailable("it is away")]
    with pytest.raises(DeadlineExceeded):
        await service(world).process(REQUEST)
    statuses = [log["status"] for log in world.tables[TaskLog]]
    assert statuses == (["start", "deadline_exceeded"] if is_logged else [])
    assert not world.tables[DataProcessingRecord]
