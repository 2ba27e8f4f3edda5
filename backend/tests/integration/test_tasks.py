"""The worker's tasks over real servers, run in this process."""

import json
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import count
from threading import Timer
from typing import Any
from uuid import uuid4

import pytest
from celery.exceptions import Retry
from kombu.message import Message
from sqlalchemy import func, update
from sqlalchemy.exc import NoResultFound
from sqlmodel import Session, col, select

from app.core.config import Settings
from app.core.services import Service, ServiceRegistry
from app.infrastructure.celery import QUEUES, create_celery
from app.infrastructure.task_publisher import TaskMessage, TaskPublisher
from app.models.database import DataProcessingRecord, TaskLog
from app.models.schemas import TaskStatus
from app.repositories.data_repository import end_record, failure
from app.tasks.data import process_accepted
from app.tasks.maintenance import BETWEEN_LOOKS, prune_logs, sweep
from app.tasks.resources import get_worker_resources
from chassis.logs import ACCESS
from local.servers.redis import Redis
from tests.integration.conftest import PUBLISH_LIMIT, RETRIES
from tests.integration.responder import Responder, wait_until

pytestmark = pytest.mark.usefixtures("worker")


def its_queue() -> str:
    """The queue of the one service."""
    (service,) = get_worker_resources().settings.services
    return service.queue


def add_record(age: timedelta = timedelta(), queue: str | None = "its") -> str:
    task_id = str(uuid4())
    queue = its_queue() if queue == "its" else queue
    with Session(get_worker_resources().engine) as session:
        session.add(
            DataProcessingRecord(
                task_id=task_id,
                queue_name=queue,
                payload={"a": 1},
                description="reverse",
                task_status=TaskStatus.PROCESSING.value,
                updated_at=datetime.now(UTC) - age,
            )
        )
        session.commit()
    return task_id


def find(task_id: str) -> DataProcessingRecord:
    query = select(DataProcessingRecord).where(DataProcessingRecord.task_id == task_id)
    with Session(get_worker_resources().engine) as session:
        return session.exec(query).one()


def logs(task_id: str) -> list[str]:
    query = select(TaskLog.status).where(TaskLog.task_id == task_id)
    with Session(get_worker_resources().engine) as session:
        return sorted(session.exec(query))


def run(task_id: str, content: Any = None, **more: Any) -> None:
    """Run the task as a worker does, but without waiting between attempts."""
    for number in count():
        try:
            attempt(task_id, number, content, **more)
            return
        except Retry:
            continue


def attempt(task_id: str, number: int, content: Any = None, **more: Any) -> None:
    """One run of the task; the first has the number 0."""
    request = json.dumps(content or {"payload": 1, "description": None})
    arguments = {"task_id": task_id, "request": request, "request_id": "r"}
    arguments |= {"queue_name": its_queue()} | more
    process_accepted.apply(
        kwargs=arguments, task_id=task_id, retries=number, throw=True
    )


def test_the_outcome_is_stored_with_the_log_of_the_call() -> None:
    task_id = add_record()
    run(task_id, {"payload": "日本語", "description": None})
    record = find(task_id)
    assert record.task_status == "Success"
    assert record.outcome == {"payload": "日本語", "description": None}
    assert record.task_type == "echo"
    assert logs(task_id) == ["end", "start"]


def test_a_second_run_changes_nothing() -> None:
    task_id = add_record()
    run(task_id)
    before = find(task_id)
    run(task_id, {"payload": "other", "description": None})
    assert find(task_id) == before
    assert logs(task_id) == ["end", "start"]


def test_a_deleted_record_stays_deleted() -> None:
    task_id = str(uuid4())
    run(task_id)
    assert logs(task_id) == []


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


def test_what_may_pass_is_retried_and_ends_in_failure_at_last(
    responder: Responder,
) -> None:
    responder.before_reply = lambda _: False
    task_id = add_record()
    run(task_id)
    outcome = find(task_id).outcome
    assert outcome["code"] == "deadline_exceeded"
    assert outcome["detail"].startswith(f"Given up after {RETRIES + 1} attempts")
    assert len(responder.requests) == RETRIES + 1


def test_one_that_recovers_ends_in_success(responder: Responder) -> None:
    responder.before_reply = lambda _: len(responder.requests) > RETRIES
    task_id = add_record()
    run(task_id)
    assert find(task_id).task_status == "Success"


def test_its_state_is_noted_while_it_lasts(
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


def test_a_state_that_redis_does_not_take_costs_nothing_else(
    redis_server: Redis,
) -> None:
    task_id = add_record()
    redis_server.kill()
    try:
        run(task_id)
    finally:
        redis_server.start()
    assert find(task_id).task_status == "Success"


def test_work_of_an_older_version_goes_to_the_data_service(
    settings: Settings, responder: Responder
) -> None:
    """Neither its record nor its message names a queue."""
    task_id = add_record(queue=None)
    run(task_id, queue_name=None)
    assert find(task_id).outcome["code"] == "unknown_service"  # there is none here
    data = ServiceRegistry((Service("data", responder.queue),))
    settings.__dict__["services"] = data
    task_id = add_record(queue=None)
    run(task_id, queue_name=None)
    assert find(task_id).task_status == "Success"


def test_work_for_an_unknown_service_has_failed(responder: Responder) -> None:
    task_id = add_record(queue="gone_queue")
    run(task_id, queue_name="gone_queue")
    assert find(task_id).task_status == "Failure"
    assert find(task_id).outcome == {
        "status": "failure",
        "code": "unknown_service",
        "detail": "No service of this deployment has the queue gone_queue.",
    }
    assert logs(task_id) == [] and not responder.requests


def published(redis_server: Redis) -> list[str]:
    redis = redis_server.connect()
    messages = [m for queue in QUEUES for m in redis.lrange(queue, 0, -1)]
    return [json.loads(message)["headers"]["id"] for message in messages]


HOUR = timedelta(hours=1)


def test_a_lost_task_is_published_again(redis_server: Redis) -> None:
    lost, fresh, ended = add_record(HOUR), add_record(), add_record(HOUR)
    end_record(get_worker_resources().engine, ended, failure("x", "y"))
    sweep.apply(throw=True)
    assert published(redis_server) == [lost]
    assert logs(lost) == ["republished"]
    assert logs(fresh) == logs(ended) == []
    finish(lost)


def test_the_sweep_fails_what_is_for_an_unknown_service(redis_server: Redis) -> None:
    task_id = add_record(HOUR, queue="gone_queue")
    sweep.apply(throw=True)
    assert find(task_id).outcome["code"] == "unknown_service"
    assert published(redis_server) == []


def test_it_keeps_its_priority(redis_server: Redis) -> None:
    task_id = add_record(HOUR)
    with Session(get_worker_resources().engine) as session:
        session.exec(
            update(DataProcessingRecord)
            .where(col(DataProcessingRecord.task_id) == task_id)
            .values(priority="high", updated_at=datetime.now(UTC) - HOUR)
        )
        session.commit()
    sweep.apply(throw=True)
    (message,) = redis_server.connect().lrange("high", 0, -1)
    assert json.loads(message)["headers"]["id"] == task_id
    finish(task_id)


def finish(task_id: str) -> None:
    end_record(get_worker_resources().engine, task_id, failure("test", "over"))


def test_what_was_published_again_is_complete(
    settings: Settings, redis_server: Redis
) -> None:
    task_id = add_record(HOUR)
    sweep.apply(throw=True)
    (message,) = redis_server.connect().lrange("default", 0, -1)
    with create_celery(settings.celery).connection_for_read() as connection:
        queue = connection.SimpleQueue("default")
        _, kwargs, _ = queue.get(timeout=5).payload
    assert kwargs["task_id"] == task_id
    assert kwargs["queue_name"] == its_queue()
    run(task_id, json.loads(kwargs["request"]))
    assert find(task_id).outcome == {"payload": {"a": 1}, "description": "reverse"}


def test_what_celery_still_holds_is_left_alone(
    settings: Settings, redis_server: Redis
) -> None:
    queued, held = add_record(HOUR), add_record(HOUR)
    publisher = TaskPublisher(settings.celery)
    publisher.publish_batch(
        [
            (TaskMessage(id_, "{}", "r", "q", "default"), copy_context())
            for id_ in (held, queued)
        ]
    )
    with create_celery(settings.celery).connection_for_read() as connection:
        message = connection.SimpleQueue("default").get(timeout=5)
        assert message.headers["id"] == held
        sweep.apply(throw=True)
        assert logs(held) == logs(queued) == []
    finish(held)
    finish(queued)


def test_what_a_worker_is_just_about_to_note_is_left_alone(
    settings: Settings, redis_server: Redis
) -> None:
    task_id = add_record(HOUR)
    message = TaskMessage(task_id, "{}", "r", "q", "default")
    TaskPublisher(settings.celery).publish_batch([(message, copy_context())])
    redis: Any = redis_server.connect()
    taken = json.loads(redis.rpop("default"))
    note = json.dumps([taken, "", "default"])
    noting = Timer(BETWEEN_LOOKS / 2, redis.hset, ("unacked", "tag", note))
    noting.start()
    sweep.apply(throw=True)
    noting.join()
    assert logs(task_id) == []
    finish(task_id)


def test_a_task_that_is_lost_too_often_has_failed(redis_server: Redis) -> None:
    task_id = add_record(HOUR)
    for _ in range(PUBLISH_LIMIT + 1):
        sweep.apply(throw=True)
        redis_server.connect().flushall()
        query = (
            update(DataProcessingRecord)
            .where(col(DataProcessingRecord.task_id) == task_id)
            .values(updated_at=func.now() - HOUR)
        )
        with Session(get_worker_resources().engine) as session:
            session.execute(query)
            session.commit()
    assert find(task_id).outcome["code"] == "lost"
    assert logs(task_id) == ["republished"] * PUBLISH_LIMIT


def test_two_sweeps_publish_once(redis_server: Redis) -> None:
    lost = [add_record(HOUR) for _ in range(20)]
    with ThreadPoolExecutor(4) as threads:
        for done in [threads.submit(sweep.apply, throw=True) for _ in range(4)]:
            done.result()
    assert sorted(published(redis_server)) == sorted(lost)
    for task_id in lost:
        finish(task_id)


def test_old_log_rows_go() -> None:
    old, new = str(uuid4()), str(uuid4())
    with Session(get_worker_resources().engine) as session:
        for task_id, age in ((old, timedelta(days=2)), (new, HOUR)):
            row = TaskLog(
                task_id=task_id,
                correlation_id="r",
                queue_name="q",
                service_name="s",
                status="end",
                created_at=datetime.now(UTC) - age,
            )
            session.add(row)
        session.commit()
    prune_logs.apply(throw=True)
    assert (logs(old), logs(new)) == ([], ["end"])


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> Callable[[], list[tuple[str, str]]]:
    """How the runs of tasks ended, by the log."""
    caplog.set_level(logging.INFO, ACCESS)
    return lambda: [
        (record.getMessage().partition(":")[0], vars(record)["outcome"])
        for record in caplog.records
        if record.name == ACCESS
    ]


def test_each_run_is_one_line_with_the_code(
    responder: Responder, lines: Callable[[], list[tuple[str, str]]]
) -> None:
    run(add_record(), queue_name="gone_queue")
    responder.before_reply = lambda _: False
    run(add_record())
    late = "deadline_exceeded"
    retries = [("Retries a task", late)] * RETRIES
    assert lines() == [
        ("Ended a task", "unknown_service"),
        *retries,
        ("Ended a task", late),
    ]


def test_at_the_level_of_warnings_there_is_no_line(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.WARNING, ACCESS)
    run(add_record())
    assert not [record for record in caplog.records if record.name == ACCESS]


def test_old_records_go_if_that_is_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    old, new, unfinished = add_record(), add_record(), add_record()
    with Session(get_worker_resources().engine) as session:
        session.execute(
            update(DataProcessingRecord)
            .where(col(DataProcessingRecord.task_id).in_([old, unfinished]))
            .values(created_at=datetime.now(UTC) - timedelta(days=2))
        )
        session.commit()
    for task_id in (old, new):
        finish(task_id)
    prune_logs.apply(throw=True)
    assert find(old)
    resources = get_worker_resources()
    keeping = resources.settings.model_copy(update={"record_retention_days": 1})
    monkeypatch.setattr(
        "app.tasks.maintenance.get_worker_resources",
        lambda: replace(resources, settings=keeping),
    )
    prune_logs.apply(throw=True)
    with pytest.raises(NoResultFound):
        find(old)
    assert find(new) and find(unfinished)
    finish(unfinished)
