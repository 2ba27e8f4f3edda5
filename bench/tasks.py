"""Part three: `POST /process-async`, from acceptance to the stored outcome.

Acceptance is measured while no worker runs. Then a worker starts on what has piled up,
and completions are counted in the database.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import psycopg2

from bench import load, usage
from bench.figures import Sample, middle
from bench.setting import PEERS, Setting, base_url, running, say
from local.apps import App
from local.process import ProcessFailed
from local.servers.base import Server
from local.servers.postgres import DATABASE

WARM_UP = 2  # seconds
POLL = 0.1  # seconds, until the first completion
# Then less often: to count is work for PostgreSQL, most where most has been accepted.
SAMPLE = 0.5
SETTLE = 1.5  # seconds after the first completion: children start and connect
PATIENCE = 60  # seconds for the first completion
CHILDREN = ["--concurrency", "2"]

PREFORK = "kit, prefork 2"
THREADS = "kit, 16 threads"
POOLED = "stock Celery, pooled RPC"
PER_CALL = "stock Celery, connection per call"


@dataclass
class Contender:
    """An API, its worker, and where its tasks and rows are."""

    label: str
    url: str
    api: App
    worker: App
    redis_database: int
    database: str
    tables: str
    records: str
    accepted: list[Sample] = field(default_factory=list)
    alone: list[Sample] = field(default_factory=list)
    completed: list[Sample] = field(default_factory=list)
    memory: list[float] = field(default_factory=list)


@dataclass(frozen=True)
class Result:
    """Medians: acceptance at 32 connections and at one, completion, and megabytes of
    the worker's processes, the parent first."""

    accepted: Sample
    alone: Sample
    completed: Sample
    memory: Sequence[float]


def run(setting: Setting) -> dict[str, Result]:
    """Every contender in turn, round by round."""
    kit = setting.kit({"CELERY_WORKER_CONCURRENCY": "2"})
    threads = {"CELERY_WORKER_POOL": "threads", "CELERY_WORKER_CONCURRENCY": "16"}
    contenders = [
        _kit(PREFORK, kit.apis[0], kit.worker),
        _kit(THREADS, kit.apis[0], setting.kit(threads).worker),
        _stock(setting, POOLED, "pooled"),
        _stock(setting, PER_CALL, "per-call"),
    ]
    service = kit.services[0]
    apis = dict.fromkeys(contender.api for contender in contenders)
    with running([*apis, service]):
        for contender in contenders:
            load.post(contender.url, 32, WARM_UP)
            _forget(setting, contender)
        for number in range(1, setting.rounds + 1):
            for contender in contenders:
                _round(setting, contender, service)
                say(
                    f"tasks {number}/{setting.rounds}  {contender.label}: "
                    f"{contender.accepted[-1].rate:,.0f} accepted/s, "
                    f"{contender.completed[-1].rate:,.0f} completed/s"
                )
    return {contender.label: _result(contender) for contender in contenders}


def _kit(label: str, api: App, worker: App) -> Contender:
    return Contender(
        label,
        f"{base_url(api)}/api/v1/data/process-async",
        api,
        worker,
        redis_database=0,
        database=DATABASE,
        tables="data_processing_records, task_logs",
        records="data_processing_records",
    )


def _stock(setting: Setting, label: str, kind: str) -> Contender:
    number = next(setting.redis_databases)
    env = {"PEER_REDIS_URL": setting.servers.redis.url(number), "PEER_RPC": kind}
    api = setting.peer_api(f"api-{kind}", "bench.peers.stock_tasks_api", **env)
    module = "celery -A bench.peers.stock_celery worker --loglevel WARNING"
    worker = setting.peer(f"worker-{kind}", module, **env)
    worker.arguments += CHILDREN
    worker.probe = lambda: setting.servers.redis.waiting(number) > 0
    return Contender(
        label,
        f"{base_url(api)}/process-async",
        api,
        worker,
        redis_database=number,
        database=PEERS,
        tables="peerrecord, peerlog",
        records="peerrecord",
    )


def _round(setting: Setting, contender: Contender, service: App) -> None:
    servers: list[Server] = [setting.servers.redis, setting.servers.postgres]
    for connections, samples in ((1, contender.alone), (32, contender.accepted)):
        before = usage.cpu_seconds([contender.api, *servers])
        seen = load.post(contender.url, connections, setting.seconds)
        after = usage.cpu_seconds([contender.api, *servers])
        samples.append(Sample.of(seen, after - before))
    worker = contender.worker
    worker.launch()
    try:
        everything = [worker, service, setting.rabbitmq, *servers]
        contender.completed.append(_complete(setting, contender, everything))
        contender.memory = usage.resident(worker)
    finally:
        worker.kill()  # what is left in the queue is thrown away anyway
        _forget(setting, contender)


def _complete(
    setting: Setting, contender: Contender, everything: list[Server]
) -> Sample:
    """Completions a second, from a moment after the first one on, until the time is
    over or nothing is left."""
    query = (
        "SELECT count(*) FILTER (WHERE task_status <> 'Processing'), count(*) "
        f"FROM {contender.records}"
    )
    connection = psycopg2.connect(_plain(setting, contender.database))
    try:
        connection.autocommit = True
        with connection.cursor() as cursor:

            def count(pause: float = 0) -> tuple[int, int]:
                time.sleep(pause)
                cursor.execute(query)
                done, total = cursor.fetchone() or (0, 0)
                return done, total

            deadline = time.monotonic() + PATIENCE
            while count(POLL)[0] == 0:
                if time.monotonic() > deadline:
                    raise contender.worker.child.failure("completed nothing")
            time.sleep(SETTLE)
            first, total = count()
            began, cpu = time.perf_counter(), usage.cpu_seconds(everything)
            now, done = began, first
            while now < began + setting.seconds and done < total:
                done, total = count(SAMPLE)
                now = time.perf_counter()
            cpu = usage.cpu_seconds(everything) - cpu
    finally:
        connection.close()
    if done == first:
        raise ProcessFailed(f"too few tasks for {contender.label}: run it longer")
    completed = done - first
    return Sample(rate=completed / (now - began), cpu=1000 * cpu / completed)


def _forget(setting: Setting, contender: Contender) -> None:
    """Drop the tasks and rows of a round."""
    with setting.servers.redis.connect(contender.redis_database) as client:
        client.flushdb()
    setting.servers.postgres.execute(f"TRUNCATE {contender.tables}", contender.database)


def _plain(setting: Setting, database: str) -> str:
    return setting.servers.postgres.url(database).replace("+psycopg2", "")


def _result(contender: Contender) -> Result:
    return Result(
        middle(contender.accepted),
        middle(contender.alone),
        middle(contender.completed),
        contender.memory,
    )
