"""Part three: `POST /process-async`, from acceptance to the stored outcome.

Acceptance is measured while no worker runs. Then a worker starts on the backlog, and
completions are counted in the database.
"""

import time
from dataclasses import dataclass, field

import psycopg2

from bench import load, usage
from bench.figures import Sample
from bench.setting import PEERS, Setting, base_url, running, say
from local.apps import App
from local.process import ProcessFailed
from local.servers.base import Server
from local.servers.postgres import DATABASE

WARM_UP = 2  # seconds
POLL = 0.1  # seconds, until the first completion
# Then less often, because counting loads PostgreSQL, most of all when many tasks were
# accepted.
SAMPLE = 0.5
SETTLE = 1.5  # seconds after the first completion: children start and connect
PATIENCE = 60  # seconds for the first completion
CONNECTIONS = 32
# Celery's default, which the peer has.
PREFETCH = {"CELERY_WORKER_PREFETCH_MULTIPLIER": "4"}
STOCK_REDIS = 1  # database of the peer; the kit's is 0

PREFORK = "kit, prefork 2"
THREADS = "kit, 16 threads"
SHIPPED = "kit, prefork 2, prefetch 1"
POOLED = "stock Celery, pooled RPC"


@dataclass
class Contender:
    """An API, its worker, and where its tasks and rows are. Holds the results of each
    round: acceptance at 32 connections, completion, and megabytes of the worker's
    processes, the parent first."""

    label: str
    url: str
    api: App
    worker: App
    redis_database: int
    database: str
    tables: str
    records: str
    accepted: list[Sample] = field(default_factory=list)
    completed: list[Sample] = field(default_factory=list)
    memory: list[float] = field(default_factory=list)


Results = dict[str, Contender]


def run(setting: Setting) -> Results:
    """Run every contender in turn, round by round."""
    prefork = {"CELERY_WORKER_CONCURRENCY": "2"}
    threads = {"CELERY_WORKER_POOL": "threads", "CELERY_WORKER_CONCURRENCY": "16"}
    kit = setting.kit(prefork)
    contenders = [
        _kit(PREFORK, kit.apis[0], setting.kit({**prefork, **PREFETCH}).worker),
        _kit(THREADS, kit.apis[0], setting.kit({**threads, **PREFETCH}).worker),
        _kit(SHIPPED, kit.apis[0], kit.worker),
        _stock(setting),
    ]
    service = kit.service("dataservice")
    apis = dict.fromkeys(contender.api for contender in contenders)
    with running([*apis, service]):
        for contender in contenders:
            load.post(contender.url, CONNECTIONS, WARM_UP)
            _forget(setting, contender)
        for number in range(1, setting.rounds + 1):
            for contender in contenders:
                _round(setting, contender, service)
                say(
                    f"tasks {number}/{setting.rounds}  {contender.label}: "
                    f"{contender.accepted[-1].rate:,.0f} accepted/s, "
                    f"{contender.completed[-1].rate:,.0f} completed/s"
                )
    return {contender.label: contender for contender in contenders}


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


def _stock(setting: Setting) -> Contender:
    env = {"PEER_REDIS_URL": setting.servers.redis.url(STOCK_REDIS)}
    api = setting.peer_api("api-stock", "bench.peers.stock_tasks_api", **env)
    module = "celery -A bench.peers.stock_celery worker --loglevel WARNING"
    worker = setting.peer("worker-stock", f"{module} --concurrency 2", **env)
    return Contender(
        POOLED,
        f"{base_url(api)}/process-async",
        api,
        worker,
        redis_database=STOCK_REDIS,
        database=PEERS,
        tables="peerrecord, peerlog",
        records="peerrecord",
    )


def _round(setting: Setting, contender: Contender, service: App) -> None:
    servers: list[Server] = [setting.servers.redis, setting.servers.postgres]
    seen = load.post(contender.url, CONNECTIONS, setting.seconds)
    contender.accepted.append(Sample.of(seen))
    worker = contender.worker
    worker.launch()
    try:
        everything = [worker, service, setting.rabbitmq, *servers]
        contender.completed.append(_complete(setting, contender, everything))
        contender.memory = usage.most_resident(worker)
    finally:
        worker.kill()  # the rest of the queue is discarded anyway
        _forget(setting, contender)


def _complete(
    setting: Setting, contender: Contender, everything: list[Server]
) -> Sample:
    """Completions per second. Counts from a moment after the first one, until the time
    is over or nothing is left."""
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
