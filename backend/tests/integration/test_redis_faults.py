"""A worker whose Redis answers with errors: it stays, and no accepted work is lost."""

import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import suppress
from contextvars import copy_context
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from celery import Celery
from pydantic import SecretStr
from sqlalchemy import Engine
from sqlmodel import Session, col, select

from app.core.database import create_sync_engine
from app.core.database_settings import DatabaseSettings
from app.core.exceptions import BrokerUnavailable, KeyStoreUnavailable
from app.core.redis_settings import CelerySettings
from app.infrastructure.celery import create_celery
from app.infrastructure.redis.key_store import KeyStore
from app.infrastructure.task_lists import TaskLists
from app.infrastructure.task_publisher import TaskPublisher, accepted_work
from app.models.database import DataProcessingRecord
from local.ports import claim, free_port
from local.state import State
from tests.integration.conftest import Start
from tests.integration.redis_kinds import OwnRedis
from tests.integration.responder import Responder, wait_until

SWEEP = "app.tasks.maintenance.sweep"


@pytest.fixture(scope="module")
def own_redis(state: State) -> Iterator[OwnRedis]:
    server = OwnRedis(state, "faulty")
    server.start()
    yield server
    server.kill()


class System:
    """What publishes to the workers of one key prefix."""

    def __init__(
        self, url: str, key_prefix: str, engine: Engine, queue: str, start: Start
    ) -> None:
        secret = SecretStr(url)
        self.settings = CelerySettings(
            broker_url=secret, result_backend=secret, key_prefix=key_prefix
        )
        self.celery: Celery = create_celery(self.settings)
        self.publisher = TaskPublisher(self.settings)
        self._engine, self._queue, self._start = engine, queue, start
        self.accepted: list[str] = []

    def start(self, pool: str = "threads", **variables: str) -> subprocess.Popen[bytes]:
        url = self.settings.broker_url.get_secret_value()
        return self._start(
            pool,
            CELERY_BROKER_URL=url,
            CELERY_RESULT_BACKEND=url,
            CELERY_KEY_PREFIX=self.settings.key_prefix,
            CELERY_SWEEP_AFTER_SECONDS="0.5",
            **variables,
        )

    def accept(self, number: int = 1) -> None:
        """As the API: store records, then publish."""
        for _ in range(number):
            task_id = str(uuid4())
            record = DataProcessingRecord(
                task_id=task_id,
                queue_name=self._queue,
                payload=1,
                task_status="Processing",
            )
            with Session(self._engine) as session:
                session.add(record)
                session.commit()
            self.accepted.append(task_id)
            request = '{"payload": 1, "description": null}'
            message = accepted_work(task_id, request, "r", self._queue, "default")
            self.publisher.publish_batch([(message, copy_context())])

    def have_ended(self) -> bool:
        query = select(DataProcessingRecord.task_status).where(
            col(DataProcessingRecord.task_id).in_(self.accepted)
        )
        with Session(self._engine) as session:
            return set(session.exec(query)) == {"Success"}

    def sweep(self) -> None:
        """As beat."""
        self.celery.send_task(SWEEP, queue="high")

    def close(self) -> None:
        self.publisher.close()
        self.celery.close()


Open = Callable[..., System]


@pytest.fixture
def open_system(
    own_redis: OwnRedis,
    database_settings: DatabaseSettings,
    responder: Responder,
    start: Start,
) -> Iterator[Open]:
    own_redis.connect().flushall()
    engine = create_sync_engine(database_settings)
    systems: list[System] = []

    def open_system(url: str = own_redis.url(0), key_prefix: str = "") -> System:
        system = System(url, key_prefix, engine, responder.queue, start)
        systems.append(system)
        return system

    yield open_system
    for system in systems:
        system.close()
    engine.dispose()


@pytest.fixture
def redis(own_redis: OwnRedis) -> Iterator[Any]:
    with own_redis.connect() as client:
        yield client
        client.replicaof("NO", "ONE")
        client.config_set("maxmemory", 0)


def fill(redis: Any) -> Callable[[], Any]:
    redis.config_set("maxmemory", "1")
    return lambda: redis.config_set("maxmemory", "0")


def demote(redis: Any) -> Callable[[], Any]:
    redis.replicaof("127.0.0.1", "1")
    return lambda: redis.replicaof("NO", "ONE")


@pytest.mark.parametrize(
    ("fault", "pool", "words"),
    [(fill, "threads", "Redis is full"), (demote, "prefork", "is a replica")],
)
def test_a_redis_that_refuses_writes_loses_nothing(
    open_system: Open,
    redis: Any,
    log: Path,
    fault: Callable[[Any], Callable[[], Any]],
    pool: str,
    words: str,
) -> None:
    system = open_system()
    worker = system.start(pool)
    system.accept()
    wait_until(system.have_ended, 30)
    worker.send_signal(signal.SIGSTOP)
    system.accept(3)  # the worker will take them from a Redis that refuses writes
    repair = fault(redis)
    worker.send_signal(signal.SIGCONT)
    with pytest.raises(BrokerUnavailable):
        system.accept()
    wait_until(lambda: words in log.read_text(), 15)
    repair()
    for _ in range(3):  # below the limit of publishing again
        system.sweep()
        with suppress(AssertionError):
            wait_until(system.have_ended, 3)
            break
    assert system.have_ended()
    assert worker.poll() is None


@pytest.mark.timeout(150)  # a worker starts slowly on a busy machine
@pytest.mark.parametrize("pool", ["prefork", "threads"])
def test_a_worker_leaves_a_redis_that_hangs(
    open_system: Open, own_redis: OwnRedis, log: Path, pool: str
) -> None:
    """With Sentinels, the next connection leads to another one."""
    system = open_system()
    system.start(pool)
    system.accept()
    wait_until(system.have_ended, 60)
    own_redis.pause()
    try:
        wait_until(lambda: "Lost Redis" in log.read_text(), 20)
    finally:
        own_redis.resume()
    system.accept()
    wait_until(system.have_ended, 30)


def test_workers_with_prefixes_share_a_database(
    open_system: Open, own_redis: OwnRedis
) -> None:
    one, other = open_system(key_prefix="one:"), open_system(key_prefix="other:")
    other.start()
    one.accept(3)
    other.accept(3)
    wait_until(other.have_ended, 30)
    with TaskLists(one.settings) as lists:
        assert lists.count_waiting("default") == 3
        assert len(list(lists.read_messages())) == 3
    one.start()
    wait_until(one.have_ended, 30)
    redis: Any = own_redis.connect()
    keys = {str(key, "ascii").partition(":")[0] for key in redis.keys()}
    assert keys == {"one", "other"}


NOBODY = "redis://nobody:wrong@127.0.0.1"
LIMITED = "redis://limited:limited@127.0.0.1"


@pytest.mark.parametrize(
    ("url", "words"),
    [
        (NOBODY, "user or password is wrong: check CELERY_BROKER_URL"),
        (LIMITED, "the user may not do this: give it all commands"),
        ("cluster", "this is a Redis Cluster, which Celery cannot use"),
    ],
)
async def test_the_log_says_what_to_do(
    own_redis: OwnRedis,
    request: pytest.FixtureRequest,
    caplog: pytest.LogCaptureFixture,
    url: str,
    words: str,
) -> None:
    port = own_redis.port
    own_redis.connect().acl_setuser(
        "limited", enabled=True, passwords=["+limited"], keys=["*"], commands=["+ping"]
    )
    if url == "cluster":
        url, port = "redis://127.0.0.1", request.getfixturevalue("cluster").port
    secret = SecretStr(f"{url}:{port}/0")
    publisher = TaskPublisher(CelerySettings(broker_url=secret))
    keys = KeyStore(secret.get_secret_value(), lease=30, keep=60)
    with pytest.raises(BrokerUnavailable):
        await publisher.send("some.task")
    with pytest.raises(KeyStoreUnavailable):
        await keys.claim("key", "f")
    publisher.close()
    await keys.close()
    for what in ("takes tasks", "keeps idempotency keys"):
        (line,) = (m for m in caplog.messages if what in m)
        assert words in line


@pytest.fixture
def cluster(state: State) -> Iterator[OwnRedis]:
    """Redis in cluster mode."""
    server = OwnRedis(state, "cluster", "--cluster-enabled", "yes")
    # It also listens 10,000 higher, where no outgoing connection may be.
    while server.port >= 22_000 or not claim(server.port + 10_000):
        server.port = free_port()
    server.start()
    yield server
    server.kill()
