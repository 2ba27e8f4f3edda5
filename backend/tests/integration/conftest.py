"""Settings for this session's servers, and a service that tests control."""

import os
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from celery import Celery
from pydantic import SecretStr

from app.core.config import Settings
from app.core.database import Database
from app.core.database_settings import DatabaseSettings
from app.core.redis_settings import CelerySettings
from app.infrastructure.celery import create_celery
from app.infrastructure.postgres.group_commit import GroupCommit
from app.tasks.resources import close_worker_resources, open_worker_resources
from chassis.settings import RabbitMQSettings, RpcSettings
from local.servers.rabbitmq import RabbitMQ
from local.servers.redis import Redis
from tests.echo import EchoSettings
from tests.integration.responder import Responder

BACKEND = Path(__file__).parents[2]
WORKER = "celery -A tests.echo_worker worker --without-mingle --without-gossip"
WORKER += " --without-heartbeat"
RETRIES = 2
PUBLISH_LIMIT = 2

Start = Callable[..., subprocess.Popen[bytes]]


@pytest.fixture(scope="session")
def rabbitmq_settings(rabbitmq: RabbitMQ, vhost: str) -> RabbitMQSettings:
    """This session's virtual host."""
    return RabbitMQSettings(
        host=rabbitmq.host,
        port=rabbitmq.port,
        user=rabbitmq.user,
        password=SecretStr(rabbitmq.password),
        vhost=vhost,
        management_url=rabbitmq.management_url,
        heartbeat_seconds=1,
    )


@pytest.fixture
def responder(rabbitmq_settings: RabbitMQSettings) -> Iterator[Responder]:
    """A service on its own queue."""
    with Responder(rabbitmq_settings) as responder:
        yield responder


def migrate(url: str) -> None:
    """Make the tables of the newest migration."""
    subprocess.run(
        [sys.executable, "-m", "alembic", "upgrade", "head"],
        cwd=BACKEND,
        env={**os.environ, "DATABASE_URL": url},
        check=True,
        capture_output=True,
    )


@pytest.fixture(scope="session")
def migrated_url(database_url: str) -> str:
    """A database with the tables of the newest migration."""
    migrate(database_url)
    return database_url


@pytest.fixture
def database_settings(migrated_url: str) -> DatabaseSettings:
    """This session's database."""
    return DatabaseSettings(
        database_url=SecretStr(migrated_url),
        async_database_url=None,
        db_timeout_seconds=2,
    )


@pytest.fixture
async def database(database_settings: DatabaseSettings) -> AsyncIterator[Database]:
    """The async engine."""
    database = Database(database_settings)
    yield database
    await database.close()


@pytest.fixture
async def commits(database: Database) -> AsyncIterator[GroupCommit]:
    """Group commit over that engine."""
    commits = GroupCommit(database.engine)
    yield commits
    await commits.close()


@pytest.fixture
def settings(
    rabbitmq_settings: RabbitMQSettings,
    database_settings: DatabaseSettings,
    redis_server: Redis,
    responder: Responder,
) -> Settings:
    """Settings of a worker; Redis is empty."""
    redis_server.connect().flushall()
    url = SecretStr(redis_server.url(0))
    return EchoSettings(
        echo_queue=responder.queue,
        rabbitmq=rabbitmq_settings,
        rpc=RpcSettings(timeout_seconds=0.5),
        database=database_settings,
        celery=CelerySettings(
            broker_url=url,
            result_backend=url,
            task_max_retries=RETRIES,
            sweep_publish_limit=PUBLISH_LIMIT,
            log_retention_days=1,
        ),
    )


@pytest.fixture
def worker(settings: Settings) -> Iterator[Celery]:
    """Make this process the worker."""
    app = create_celery(settings.celery)
    app.set_default()  # for the threads of a test, too
    open_worker_resources(settings)
    yield app
    close_worker_resources()
    app.close()


@pytest.fixture
def celery(redis_server: Redis) -> Iterator[Celery]:
    """The application, to publish with."""
    url = SecretStr(redis_server.url(0))
    app = create_celery(CelerySettings(broker_url=url, result_backend=url))
    yield app
    app.close()


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "worker.log"


@pytest.fixture
def redis(redis_server: Redis) -> Iterator[Any]:
    with redis_server.connect() as client:
        client.flushall()
        yield client


@pytest.fixture
def start(
    rabbitmq_settings: RabbitMQSettings,
    database_settings: DatabaseSettings,
    redis_server: Redis,
    responder: Responder,
    log: Path,
) -> Iterator[Start]:
    """Start a worker process with that pool and additional variables."""
    env = {
        **os.environ,
        "RABBITMQ_HOST": rabbitmq_settings.host,
        "RABBITMQ_PORT": str(rabbitmq_settings.port),
        "RABBITMQ_USER": rabbitmq_settings.user,
        "RABBITMQ_PASSWORD": rabbitmq_settings.password.get_secret_value(),
        "RABBITMQ_VHOST": rabbitmq_settings.vhost,
        "DATABASE_URL": database_settings.database_url.get_secret_value(),
        "CELERY_BROKER_URL": redis_server.url(0),
        "CELERY_RESULT_BACKEND": redis_server.url(0),
        "CELERY_WORKER_CONCURRENCY": "2",
        "ECHO_QUEUE_NAME": responder.queue,
    }
    with ExitStack() as workers:

        def start(pool: str, **variables: str) -> subprocess.Popen[bytes]:
            with log.open("ab") as output:
                worker = subprocess.Popen(
                    [sys.executable, "-m", *WORKER.split(), "--loglevel", "INFO"],
                    cwd=BACKEND,
                    env={**env, "CELERY_WORKER_POOL": pool, **variables},
                    stdout=output,
                    stderr=subprocess.STDOUT,
                )
            workers.callback(lambda: print(log.read_text()[-5000:]))
            workers.callback(worker.wait)
            workers.callback(worker.kill)
            return worker

        yield start
