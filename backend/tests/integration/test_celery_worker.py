"""The worker as a process: its pools, and how it stops."""

import json
import signal
import time
from collections.abc import Callable, Iterator
from contextvars import copy_context
from pathlib import Path
from threading import Event
from typing import Any
from uuid import uuid4

import psutil
import pytest
from celery import Celery
from kombu.message import Message
from pydantic import SecretStr
from sqlalchemy import Engine
from sqlmodel import Session, col, select

from app.core.database import create_sync_engine
from app.core.database_settings import DatabaseSettings
from app.core.redis_settings import CelerySettings
from app.infrastructure.task_publisher import TaskPublisher, accepted_work
from app.models.database import DataProcessingRecord
from app.tasks.maintenance import sweep
from local.ports import free_port
from local.servers.redis import Redis
from tests.integration.conftest import Start
from tests.integration.responder import Responder, wait_until

EACH_POOL = pytest.mark.parametrize("pool", ["prefork", "threads"])


@pytest.fixture
def engine(database_settings: DatabaseSettings) -> Iterator[Engine]:
    engine = create_sync_engine(database_settings)
    yield engine
    engine.dispose()


@pytest.fixture
def accept(
    engine: Engine, redis_server: Redis, redis: Any, responder: Responder
) -> Iterator[Callable[..., str]]:
    """Store a record and publish its task; returns the id."""
    url = SecretStr(redis_server.url(0))
    publisher = TaskPublisher(CelerySettings(broker_url=url, result_backend=url))

    def accept(priority: str = "default", payload: str = "1") -> str:
        task_id = str(uuid4())
        record = DataProcessingRecord(
            task_id=task_id,
            queue_name=responder.queue,
            payload=1,
            task_status="Processing",
        )
        with Session(engine) as session:
            session.add(record)
            session.commit()
        request = f'{{"payload": {payload}, "description": null}}'
        message = accepted_work(task_id, request, "r", responder.queue, priority)
        publisher.publish_batch([(message, copy_context())])
        return task_id

    yield accept
    publisher.close()


def statuses(engine: Engine, task_ids: list[str]) -> set[str]:
    query = select(DataProcessingRecord.task_status).where(
        col(DataProcessingRecord.task_id).in_(task_ids)
    )
    with Session(engine) as session:
        return set(session.exec(query))


@pytest.mark.promise("docs/SECURITY.md", "Workers take no commands from Redis")
def test_a_worker_takes_no_commands_and_sends_no_events(
    start: Start, accept: Callable[..., str], redis: Any, log: Path
) -> None:
    accept()
    start("threads")
    wait_until(lambda: "Task ended" in log.read_text(), 30)
    # Celery's commands come by a subscription, and its events leave by another key.
    assert redis.pubsub_numpat() == 0
    assert redis.pubsub_channels() == []
    assert not redis.keys("*celeryev*") + redis.keys("*pidbox*")


@EACH_POOL
def test_accepted_work_ends_and_logs_one_line_each(
    pool: str,
    start: Start,
    accept: Callable[..., str],
    engine: Engine,
    responder: Responder,
    redis: Any,
    log: Path,
) -> None:
    accepted = {accept() for _ in range(30)}
    worker = start(pool)
    wait_until(lambda: statuses(engine, [*accepted]) == {"Success"}, 30)
    wait_until(lambda: not redis.hlen("unacked"))
    children = psutil.Process(worker.pid).children()
    assert len(children) == (2 if pool == "prefork" else 0)
    worker.terminate()
    assert worker.wait(20) == 0

    assert log.read_text().count("Task ended") == 30
    lines = [json.loads(line) for line in log.read_text().splitlines() if "{" in line]
    ours = [line for line in lines if accepted & {*map(str, line.values())}]
    assert {line["task_id"] for line in ours} == accepted
    assert len(ours) == 30  # and none from Celery
    for line in ours:
        assert line["messaging.destination.name"] == responder.queue
        assert (line["request_id"], line["outcome"]) == ("r", "ok")
        assert line["duration_ms"] > 0


#: The SDK reads it when it starts, in a child after the fork.
UNUSABLE = {
    "OTEL_EXPORTER_OTLP_ENDPOINT": "https://127.0.0.1:9",
    "OTEL_PYTHON_EXPORTER_OTLP_GRPC_CREDENTIAL_PROVIDER": "gone",
}


@pytest.mark.promise("docs/TASKS.md", "A worker that cannot work takes no tasks.")
@EACH_POOL
def test_a_worker_that_cannot_start_takes_no_task(
    pool: str,
    start: Start,
    accept: Callable[..., str],
    engine: Engine,
    redis: Any,
    log: Path,
) -> None:
    accepted = [accept() for _ in range(20)]
    worker = start(pool, **UNUSABLE)
    assert worker.wait(30) == 1
    children = 2 if pool == "prefork" else 1
    said = log.read_text().count("This process cannot start and exits")
    assert 1 <= said <= children
    assert (redis.llen("default"), redis.hlen("unacked")) == (20, 0)
    assert statuses(engine, accepted) == {"Processing"}


def test_a_collector_that_is_down_is_one_outage(
    start: Start, accept: Callable[..., str], engine: Engine, log: Path
) -> None:
    """With threads, Celery sets up logging after telemetry has started, whose filter
    must stay."""
    accepted = [accept()]
    start(
        "threads",
        CELERY_WORKER_CONCURRENCY="1",
        OTEL_EXPORTER_OTLP_ENDPOINT=f"http://127.0.0.1:{free_port()}",
        OTEL_EXPORTER_OTLP_PROTOCOL="http/protobuf",
        OTEL_METRIC_EXPORT_INTERVAL="200",
        OTEL_BLRP_SCHEDULE_DELAY="200",
    )
    wait_until(lambda: statuses(engine, accepted) == {"Success"}, 30)
    lost = "No connection to the OpenTelemetry collector"
    wait_until(lambda: log.read_text().count(lost) == 1, 30)
    exporters = '"logger": "opentelemetry.exporter'
    assert exporters not in log.read_text()


def test_threads_wait_in_parallel(
    start: Start, accept: Callable[..., str], engine: Engine, responder: Responder
) -> None:
    accepted = [accept() for _ in range(8)]
    held: list[Message] = []

    def hold(message: Message) -> bool:
        held.append(message)
        if len(held) == len(accepted):
            for each in held:
                responder.reply(each)
        return False

    responder.before_reply = hold
    start("threads", CELERY_WORKER_CONCURRENCY="8")
    wait_until(lambda: statuses(engine, accepted) == {"Success"}, 30)


@pytest.mark.promise("docs/TASKS.md", "a free worker checks them in this order")
def test_a_free_worker_takes_tasks_by_priority(
    start: Start, accept: Callable[..., str], engine: Engine, responder: Responder
) -> None:
    numbers = {"low": ["5", "6"], "default": ["3", "4"], "high": ["1", "2"]}
    accepted = [accept(name, each) for name in numbers for each in numbers[name]]
    start("threads", CELERY_WORKER_CONCURRENCY="1")
    wait_until(lambda: statuses(engine, accepted) == {"Success"}, 30)
    assert [body["payload"] for body in responder.bodies()] == [1, 2, 3, 4, 5, 6]


@pytest.mark.promise(
    "docs/TASKS.md",
    "running tasks get 20 s (`CELERY_WORKER_GRACE_SECONDS`), then go back to Redis",
)
@EACH_POOL
def test_running_tasks_may_finish_on_stop(
    pool: str,
    start: Start,
    accept: Callable[..., str],
    engine: Engine,
    responder: Responder,
    redis: Any,
) -> None:
    stopping = Event()
    responder.before_reply = lambda _: stopping.wait(10)
    task_id = accept()
    worker = start(pool)
    wait_until(lambda: len(responder.requests) == 1, 30)
    worker.terminate()
    time.sleep(0.5)
    stopping.set()
    assert worker.wait(15) == 0
    assert (redis.llen("default"), redis.hlen("unacked")) == (0, 0)
    assert statuses(engine, [task_id]) == {"Success"}


@pytest.mark.promise("docs/TASKS.md", "A worker that cannot work takes no tasks.")
def test_invalid_settings_stop_the_worker(start: Start, log: Path) -> None:
    invalid = {
        "DATABASE_URL": "nonsense",
        "OTEL_EXPORTER_OTLP_PROTOCOL": "smoke",
        "CELERY_WORKER_POOL": "green",
    }
    assert start("prefork", **invalid).wait(30) == 1
    said = log.read_text()
    assert "DATABASE_URL: write it as postgresql://" in said
    assert "OTEL_EXPORTER_OTLP_PROTOCOL: must be grpc or http/protobuf" in said
    assert "CELERY_WORKER_POOL" in said


@pytest.mark.promise(
    "docs/TASKS.md",
    "running tasks get 20 s (`CELERY_WORKER_GRACE_SECONDS`), then go back to Redis",
)
@EACH_POOL
def test_a_stop_hands_back_every_task(
    pool: str,
    start: Start,
    accept: Callable[..., str],
    engine: Engine,
    responder: Responder,
    redis: Any,
    log: Path,
) -> None:
    """Those that run beyond the grace period, those that wait in the worker for a
    place or a retry. One that it held would start again after the visibility timeout
    only."""
    responder.before_reply = lambda _: False
    accepted = [accept() for _ in range(6)]
    worker = start(pool, CELERY_WORKER_GRACE_SECONDS="1", RPC_TIMEOUT_SECONDS="1")
    # The first two have timed out and wait; the next two run.
    wait_until(lambda: len(responder.requests) == 4, 30)
    began = time.monotonic()
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(15) == 0
    assert time.monotonic() - began < 12
    assert not redis.hlen("unacked")
    # One that asked for its retry at that moment stands there twice.
    queued = [
        json.loads(text)["headers"]["id"] for text in redis.lrange("default", 0, -1)
    ]
    assert {*queued} == {*accepted}
    assert statuses(engine, accepted) == {"Processing"}
    assert "ERROR" not in log.read_text()


@pytest.mark.promise(
    "docs/TASKS.md", "the worker ends at most 10 s later, even if it stands still"
)
def test_a_worker_that_stands_still_ends_and_hands_back_all_the_same(
    start: Start,
    accept: Callable[..., str],
    engine: Engine,
    responder: Responder,
    redis: Any,
) -> None:
    responder.before_reply = lambda _: False
    task_id = accept()
    worker = start("prefork", CELERY_WORKER_GRACE_SECONDS="1", STUCK="1")
    wait_until(lambda: len(responder.requests) == 1, 30)
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(30) != 0  # the grace period, and two pauses of 5 s
    assert (redis.llen("default"), redis.hlen("unacked")) == (1, 0)
    assert statuses(engine, [task_id]) == {"Processing"}


@pytest.mark.promise("docs/TASKS.md", "A lost task can be found by its record.")
def test_the_sweep_finds_the_task_of_a_killed_worker(
    start: Start,
    accept: Callable[..., str],
    engine: Engine,
    redis: Any,
    redis_server: Redis,
    celery: Celery,
) -> None:
    """BRPOP removes a task from Redis; only afterwards does the worker mark it as
    taken."""
    worker = start("threads")
    for _ in range(10):
        wait_until(lambda: redis_server.waiting() == 1, 30)
        worker.send_signal(signal.SIGSTOP)
        task_id = accept()
        if not redis.llen("default"):
            break
        redis.delete("default")  # its BRPOP had just returned
        worker.send_signal(signal.SIGCONT)
    worker.kill()
    worker.wait()
    assert (redis.llen("default"), redis.hlen("unacked")) == (0, 0)

    start("threads", CELERY_SWEEP_AFTER_SECONDS="0.1")
    celery.send_task(sweep.name, queue="high")
    wait_until(lambda: statuses(engine, [task_id]) == {"Success"}, 30)


def test_the_sweep_finds_a_task_whose_retry_redis_refused(
    start: Start,
    accept: Callable[..., str],
    engine: Engine,
    responder: Responder,
    redis_server: Redis,
    log: Path,
) -> None:
    responder.before_reply = lambda _: False
    task_id = accept()
    start("threads", RPC_TIMEOUT_SECONDS="1")
    wait_until(lambda: len(responder.requests) == 1, 30)
    redis_server.kill()
    try:
        wait_until(lambda: "The sweep will handle task" in log.read_text(), 30)
        assert statuses(engine, [task_id]) == {"Processing"}
    finally:
        redis_server.start()


def test_a_lost_acknowledgement_leaves_no_worker_without_work(
    start: Start,
    accept: Callable[..., str],
    engine: Engine,
    responder: Responder,
    redis_server: Redis,
    log: Path,
) -> None:
    """Its only place was taken when Redis was lost."""
    answer = Event()
    responder.before_reply = lambda _: answer.wait(60)
    first = accept()
    start("prefork", CELERY_WORKER_CONCURRENCY="1")
    wait_until(lambda: len(responder.requests) == 1, 30)
    redis_server.kill()
    try:
        answer.set()
        wait_until(lambda: "Lost Redis, which hands out" in log.read_text(), 30)
    finally:
        redis_server.start()
    second = accept()
    wait_until(lambda: statuses(engine, [first, second]) == {"Success"}, 30)
    assert "Traceback" not in log.read_text()


@pytest.mark.promise("docs/TASKS.md", "A child may take 30 s to start")
def test_a_child_that_starts_slowly_lives(
    start: Start, accept: Callable[..., str], engine: Engine
) -> None:
    """Celery alone would kill it after four seconds, and each that follows."""
    task_id = accept()
    start("prefork", CELERY_WORKER_CONCURRENCY="1", SLOW_START="5")
    wait_until(lambda: statuses(engine, [task_id]) == {"Success"}, 30)


def test_a_replaced_child_keeps_no_connection_of_its_parent(
    start: Start, accept: Callable[..., str], engine: Engine
) -> None:
    """The parent would be woken for it after it has closed it: `leave_connections`."""
    parent = psutil.Process(start("prefork", CELERY_WORKER_CONCURRENCY="1").pid)
    task_id = accept()
    wait_until(lambda: statuses(engine, [task_id]) == {"Success"}, 30)
    (first,) = parent.children()
    first.kill()
    wait_until(lambda: any(each != first for each in parent.children()), 30)
    task_id = accept()
    wait_until(lambda: statuses(engine, [task_id]) == {"Success"}, 30)
    (second,) = parent.children()
    of_both = [{c.laddr for c in each.net_connections()} for each in (parent, second)]
    assert all(of_both) and not set.intersection(*of_both)
