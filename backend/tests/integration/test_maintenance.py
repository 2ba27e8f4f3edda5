"""The periodic tasks with real servers: lost tasks are found, old rows are deleted."""

import json
from base64 import b64decode
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import copy_context
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from threading import Timer
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import func, update
from sqlalchemy.exc import NoResultFound
from sqlmodel import Session, col, select

from app.core.config import Settings
from app.infrastructure.celery import QUEUES, create_celery
from app.infrastructure.rabbitmq import LogEvent
from app.infrastructure.task_lists import MESSAGES_AT_ONCE, TaskLists
from app.infrastructure.task_publisher import TaskPublisher, accepted_work
from app.models.database import DataProcessingRecord, TaskLog
from app.models.schemas import TaskStatus
from app.repositories import data_repository
from app.repositories.data_repository import end_record, failure, find_stale
from app.repositories.task_repository import add_log
from app.tasks import maintenance
from app.tasks.maintenance import BETWEEN_LOOKS, prune_logs, sweep
from app.tasks.resources import get_worker_resources
from chassis.telemetry import tracing
from local.servers.redis import Redis
from tests.counted import Counted
from tests.integration.conftest import PUBLISH_LIMIT
from tests.integration.records import add_record, find, its_queue, logs, run
from tests.integration.responder import wait_until

pytestmark = pytest.mark.usefixtures("worker")


def published(redis_server: Redis) -> list[str]:
    redis = redis_server.connect()
    messages = [m for queue in QUEUES for m in redis.lrange(queue, 0, -1)]
    return [json.loads(message)["headers"]["id"] for message in messages]


HOUR = timedelta(hours=1)


@pytest.mark.promise("docs/TASKS.md", "A lost task can be found by its record.")
def test_a_lost_task_is_published_again(redis_server: Redis) -> None:
    lost, fresh, ended = add_record(HOUR), add_record(), add_record(HOUR)
    end_record(get_worker_resources().engine, ended, failure("x", "y"))
    sweep.apply(throw=True)
    assert published(redis_server) == [lost]
    assert logs(lost) == ["republished"]
    assert logs(fresh) == logs(ended) == []
    finish(lost)


@pytest.mark.promise(
    "docs/TASKS.md",
    "With more than 20,000 tasks waiting, the sweep does nothing, because it cannot "
    "tell which tasks are lost.",
)
def test_the_sweep_rests_while_many_tasks_wait(
    redis_server: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert maintenance.LONGEST_BACKLOG == 20_000
    monkeypatch.setattr(maintenance, "LONGEST_BACKLOG", 1)
    lost, waiting = add_record(HOUR), [add_record(HOUR) for _ in range(2)]
    with redis_server.connect() as redis:
        for queue, task_id in zip(("high", "low"), waiting, strict=True):
            redis.lpush(queue, json.dumps({"headers": {"id": task_id}}))
        sweep.apply(throw=True)
        assert published(redis_server) == waiting
        redis.delete("high")
        sweep.apply(throw=True)
        assert set(published(redis_server)) == {lost, *waiting}
        redis.flushall()
    for task_id in (lost, *waiting):
        end_record(get_worker_resources().engine, task_id, failure("x", "y"))


def end_all() -> None:
    query = select(DataProcessingRecord.task_id).where(
        col(DataProcessingRecord.task_status) == TaskStatus.PROCESSING
    )
    engine = get_worker_resources().engine
    with Session(engine) as session:
        unfinished = session.exec(query).all()
    for task_id in unfinished:
        end_record(engine, task_id, failure("x", "y"))


def change(task_id: str, **values: str) -> None:
    """Change a record without making it newer."""
    with Session(get_worker_resources().engine) as session:
        session.execute(
            update(DataProcessingRecord)
            .where(col(DataProcessingRecord.task_id) == task_id)
            .values(**values, updated_at=datetime.now(UTC) - HOUR)
        )
        session.commit()


def test_work_that_is_published_again_stays_in_its_trace(
    redis_server: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    task_id = add_record(HOUR)
    change(task_id, traceparent="its trace")
    seen: list[Any] = []

    @contextmanager
    def continued(parent: str | None) -> Iterator[None]:
        seen.append((parent, published(redis_server)))
        yield
        seen.append(published(redis_server))

    monkeypatch.setattr(tracing, "continued", continued)
    sweep.apply(throw=True)
    assert seen == [("its trace", []), [task_id]]
    finish(task_id)


@pytest.mark.promise(
    "docs/SECURITY.md", "Work that the sweep publishes again keeps it."
)
def test_work_that_is_published_again_keeps_its_owner(redis_server: Redis) -> None:
    task_id = add_record(HOUR)
    change(task_id, owner="alice")
    sweep.apply(throw=True)
    (message,) = [m for q in QUEUES for m in redis_server.connect().lrange(q, 0, -1)]
    _, arguments, _ = json.loads(b64decode(json.loads(message)["body"]))
    assert arguments["principal"] == "alice"
    with Session(get_worker_resources().engine) as session:
        columns = select(TaskLog.owner, TaskLog.description)
        query = columns.where(col(TaskLog.task_id) == task_id)
        assert session.exec(query).all() == [("alice", "reverse")]
    finish(task_id)


@pytest.mark.promise(
    "ARCHITECTURE.md",
    "Work for a queue of no registered service ends as `Failure` with code "
    "`unknown_service`.",
)
def test_the_sweep_fails_work_for_an_unknown_service(redis_server: Redis) -> None:
    task_id = add_record(HOUR, queue="gone_queue")
    sweep.apply(throw=True)
    assert find(task_id).outcome["code"] == "unknown_service"
    assert published(redis_server) == []


def test_a_full_redis_does_not_count_as_an_attempt(redis_server: Redis) -> None:
    task_id = add_record(HOUR)
    with redis_server.full():
        for _ in range(PUBLISH_LIMIT + 1):
            sweep.apply(throw=True)
    assert (find(task_id).task_status, logs(task_id)) == ("Processing", [])
    sweep.apply(throw=True)
    assert published(redis_server) == [task_id]
    finish(task_id)


@pytest.mark.promise(
    "docs/TASKS.md",
    "A republished task keeps its priority and the trace of its request.",
)
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


def test_a_republished_task_is_complete(
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


@pytest.mark.promise(
    "docs/TASKS.md",
    "It skips tasks that Redis still holds, in a queue or for a worker, and "
    "republishes the others.",
)
def test_the_sweep_ignores_tasks_that_celery_holds(
    settings: Settings, redis_server: Redis
) -> None:
    queued, held = add_record(HOUR), add_record(HOUR)
    publisher = TaskPublisher(settings.celery)
    publisher.publish_batch(
        [
            (accepted_work(id_, "{}", "r", "q", "default"), copy_context())
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


@pytest.mark.promise(
    "docs/TASKS.md",
    "It skips tasks that Redis still holds, in a queue or for a worker, and "
    "republishes the others.",
)
def test_the_sweep_ignores_tasks_that_a_worker_is_taking(
    settings: Settings, redis_server: Redis
) -> None:
    task_id = add_record(HOUR)
    message = accepted_work(task_id, "{}", "r", "q", "default")
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


def test_every_task_in_redis_is_read(settings: Settings, redis_server: Redis) -> None:
    """However many pages that takes; then the connection ends."""
    redis: Any = redis_server.connect()
    more = MESSAGES_AT_ONCE + 1
    waiting, held = [f"w{n}" for n in range(more)], [f"h{n}" for n in range(more)]
    for task_id in waiting:
        redis.lpush("low", json.dumps({"headers": {"id": task_id}}))
    for task_id in held:
        message = json.dumps([{"headers": {"id": task_id}}, "", "low"])
        redis.hset("unacked", task_id, message)
    others = len(redis.client_list())
    with TaskLists(settings.celery) as lists:
        found = [message["headers"]["id"] for message in lists.read_messages()]
        assert len(redis.client_list()) == others + 1
    assert sorted(found) == sorted([*waiting, *held])
    wait_until(lambda: len(redis.client_list()) == others)


@pytest.mark.promise(
    "ARCHITECTURE.md",
    "After a limited number of attempts, the record ends as `Failure` with code "
    "`lost`.",
)
def test_a_task_that_is_lost_too_often_fails(
    redis_server: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    end_all()  # what other tests have left would be counted, too
    counted = Counted()
    monkeypatch.setattr(maintenance, "_lost", counted)
    task_id = add_record(HOUR)
    call = LogEvent("start", its_queue(), task_id, "of its calls")
    with Session(get_worker_resources().engine) as session:
        for _ in range(PUBLISH_LIMIT):
            add_log(session, call, None)
        session.commit()
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
    expected = ["republished"] * PUBLISH_LIMIT + ["start"] * PUBLISH_LIMIT
    assert logs(task_id) == expected
    assert counted.numbers == {
        "app.sweep.outcome=republished": PUBLISH_LIMIT,
        "app.sweep.outcome=given_up": 1,
    }


def test_the_oldest_work_is_swept_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """A sweep looks at so many."""
    end_all()
    monkeypatch.setattr(data_repository, "STALE_AT_ONCE", 1)
    younger, oldest = add_record(HOUR), add_record(2 * HOUR)
    with Session(get_worker_resources().engine) as session:
        assert find_stale(session, HOUR / 2) == [oldest]
    finish(younger)
    finish(oldest)


@pytest.mark.promise("docs/TASKS.md", "Concurrent sweeps take different rows.")
def test_two_sweeps_publish_once(redis_server: Redis) -> None:
    lost = [add_record(HOUR) for _ in range(20)]
    with ThreadPoolExecutor(4) as threads:
        for done in [threads.submit(sweep.apply, throw=True) for _ in range(4)]:
            done.result()
    assert sorted(published(redis_server)) == sorted(lost)
    for task_id in lost:
        finish(task_id)


@pytest.mark.budget("CELERY_LOG_RETENTION_DAYS")
def test_old_log_rows_are_deleted() -> None:
    """Those that another process deletes are not waited for."""
    old, new, taken = str(uuid4()), str(uuid4()), str(uuid4())
    days = timedelta(days=2)
    with Session(get_worker_resources().engine) as session:
        for task_id, age in ((old, days), (new, HOUR), (taken, days)):
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
        its_rows = select(TaskLog).where(TaskLog.task_id == taken).with_for_update()
        assert session.exec(its_rows).one()
        prune_logs.apply(throw=True)
    assert [logs(each) for each in (old, new, taken)] == [[], ["end"], ["end"]]
    prune_logs.apply(throw=True)
    assert [logs(each) for each in (new, taken)] == [["end"], []]


@pytest.mark.budget("RECORD_RETENTION_DAYS")
def test_old_records_are_deleted_if_configured(monkeypatch: pytest.MonkeyPatch) -> None:
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
