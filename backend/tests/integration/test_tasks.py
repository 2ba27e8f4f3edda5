"""The task of accepted work, with real servers, run in this process."""

import json
import logging
from collections.abc import Callable
from contextvars import copy_context
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from celery.exceptions import Retry, SoftTimeLimitExceeded
from kombu.message import Message
from sqlmodel import Session, select

from app.core.config import Settings
from app.core.services import Service, ServiceRegistry
from app.models.database import TaskLog
from app.repositories import data_repository
from app.tasks import data
from app.tasks.resources import get_worker_resources
from chassis.logs import ACCESS
from local.servers.redis import Redis
from tests.counted import Counted
from tests.integration.conftest import RETRIES
from tests.integration.records import add_record, attempt, find, logs, run
from tests.integration.responder import Responder, wait_until

pytestmark = pytest.mark.usefixtures("worker")


def test_the_outcome_is_stored_with_the_log_of_the_call() -> None:
    task_id = add_record(timedelta(hours=1))
    run(task_id, {"payload": "日本語", "description": None})
    record = find(task_id)
    changed = record.updated_at
    assert changed and datetime.now(UTC) - changed < timedelta(minutes=1)
    assert record.task_status == "Success"
    assert record.outcome == {"payload": "日本語", "description": None}
    assert record.task_type == "echo"
    assert logs(task_id) == ["end", "start"]


@pytest.mark.promise(
    "docs/SECURITY.md", "The worker's log rows have the owner of the record."
)
def test_log_rows_have_the_owner_and_the_description_of_the_work() -> None:
    task_id, content = add_record(), {"payload": 1, "description": "reverse"}
    copy_context().run(run, task_id, content, principal="alice")
    query = select(TaskLog.owner, TaskLog.description).where(TaskLog.task_id == task_id)
    with Session(get_worker_resources().engine) as session:
        assert session.exec(query).all() == [("alice", "reverse")] * 2


@pytest.mark.promise(
    "docs/adr/0004-record-before-task.md",
    "The worker completes a record only if it has not ended.",
)
@pytest.mark.promise("docs/TASKS.md", "Running a task twice changes nothing.")
def test_a_second_run_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    ended = Counted()
    monkeypatch.setattr(data_repository, "_ended", ended)
    task_id = add_record()
    run(task_id)
    before = find(task_id)
    run(task_id, {"payload": "other", "description": None})
    assert find(task_id) == before
    assert logs(task_id) == ["end", "start"]
    assert ended.numbers == {"app.task.status=Success": 1}


def test_a_deleted_record_stays_deleted() -> None:
    task_id = str(uuid4())
    run(task_id)
    assert logs(task_id) == []


@pytest.mark.promise("docs/TASKS.md", "Permanent errors end in `Failure` at once")
def test_a_refusal_ends_in_failure_without_a_retry(responder: Responder) -> None:
    responder.headers = {"x-status": "error"}
    task_id = add_record()
    run(task_id, {"code": "odd", "message": "why", "description": None})
    assert find(task_id).task_status == "Failure"
    assert find(task_id).outcome == {
        "status": "failure",
        "code": "odd",
        "detail": "why",
    }
    assert len(responder.requests) == 1
    responder.headers = {"x-status": "ok", "x-task-type": "echo"}
    before = find(task_id)
    run(task_id)  # Redis has delivered it again
    assert find(task_id) == before


def test_a_task_that_was_interrupted_is_retried(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def hang(*_: Any, **__: Any) -> Any:
        raise SoftTimeLimitExceeded

    task_id = add_record()
    with monkeypatch.context() as patch:
        patch.setattr(data, "_call", hang)
        run(task_id)
    outcome = find(task_id).outcome
    assert outcome["code"] == "time_limit_exceeded"
    assert outcome["detail"].startswith(f"Given up after {RETRIES + 1} ")


@pytest.mark.promise("docs/TASKS.md", "Temporary errors are retried")
def test_temporary_errors_are_retried_then_fail(
    responder: Responder,
) -> None:
    responder.before_reply = lambda _: False
    task_id = add_record()
    run(task_id)
    outcome = find(task_id).outcome
    assert outcome["code"] == "deadline_exceeded"
    assert outcome["detail"].startswith(f"Given up after {RETRIES + 1} attempts")
    assert len(responder.requests) == RETRIES + 1


def test_a_retry_that_succeeds_ends_in_success(responder: Responder) -> None:
    responder.before_reply = lambda _: len(responder.requests) > RETRIES
    task_id = add_record()
    run(task_id)
    assert find(task_id).task_status == "Success"


def test_its_state_is_in_redis_while_it_runs(
    responder: Responder, redis_server: Redis
) -> None:
    redis: Any = redis_server.connect()
    task_id = add_record()
    key = f"celery-task-meta-{task_id}"
    started = []

    def look(_: Message) -> bool:
        wait_until(lambda: redis.exists(key))
        started.append(json.loads(redis.get(key))["status"])
        return False

    responder.before_reply = look
    with pytest.raises(Retry):
        attempt(task_id, 0)
    assert started == ["STARTED"]
    assert json.loads(redis.get(key))["status"] == "RETRY"
    assert redis.ttl(key) > 60


def test_its_result_is_in_redis_afterwards(redis_server: Redis) -> None:
    task_id = add_record()
    run(task_id)
    redis: Any = redis_server.connect()
    meta = json.loads(redis.get(f"celery-task-meta-{task_id}"))
    assert (meta["status"], meta["result"]) == ("SUCCESS", "Success")


def test_a_task_succeeds_without_redis(
    redis_server: Redis,
) -> None:
    task_id = add_record()
    redis_server.kill()
    try:
        run(task_id)
    finally:
        redis_server.start()
    assert find(task_id).task_status == "Success"


@pytest.mark.promise(
    "docs/TASKS.md",
    "Records and tasks of old versions name no queue; they belong to the service "
    "`data`.",
)
def test_work_of_an_older_version_goes_to_the_data_service(
    settings: Settings, responder: Responder
) -> None:
    """Neither its record nor its message names a queue."""
    task_id = add_record(queue=None)
    run(task_id, queue_name=None)
    assert find(task_id).outcome["code"] == "unknown_service"  # this worker has none
    data = ServiceRegistry((Service("data", responder.queue),))
    settings.__dict__["services"] = data
    task_id = add_record(queue=None)
    run(task_id, queue_name=None)
    assert find(task_id).task_status == "Success"


@pytest.mark.promise(
    "ARCHITECTURE.md",
    "Work for a queue of no registered service ends as `Failure` with code "
    "`unknown_service`.",
)
def test_work_for_an_unknown_service_fails(responder: Responder) -> None:
    task_id = add_record(queue="gone_queue")
    run(task_id, queue_name="gone_queue")
    assert find(task_id).task_status == "Failure"
    assert find(task_id).outcome == {
        "status": "failure",
        "code": "unknown_service",
        "detail": "No service of this deployment has the queue gone_queue.",
    }
    assert logs(task_id) == [] and not responder.requests


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> Callable[[], list[tuple[str, str]]]:
    """How each run of a task ended, from the log."""
    caplog.set_level(logging.INFO, ACCESS)
    return lambda: [
        (record.getMessage().partition(":")[0], vars(record)["outcome"])
        for record in caplog.records
        if record.name == ACCESS
    ]


def test_each_run_logs_one_line_with_its_code(
    responder: Responder, lines: Callable[[], list[tuple[str, str]]]
) -> None:
    run(add_record(), queue_name="gone_queue")
    responder.before_reply = lambda _: False
    run(add_record())
    late = "deadline_exceeded"
    retries = [("Task will be retried", late)] * RETRIES
    assert lines() == [
        ("Task ended", "unknown_service"),
        *retries,
        ("Task ended", late),
    ]


def test_level_warning_logs_no_line(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.WARNING, ACCESS)
    run(add_record())
    assert not [record for record in caplog.records if record.name == ACCESS]
