"""Settings for this session's servers, and a service that does what a test wants."""

import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr

from app.core.config import DatabaseSettings
from app.core.database import Database
from app.infrastructure.postgres.group_commit import GroupCommit
from chassis.settings import RabbitMQSettings
from local.servers.rabbitmq import RabbitMQ
from tests.integration.responder import Responder

BACKEND = Path(__file__).parents[2]


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
    """A service on a queue of its own."""
    with Responder(rabbitmq_settings) as responder:
        yield responder


@pytest.fixture(scope="session")
def migrated_url(database_url: str) -> str:
    """A database with the tables of the newest migration."""
    subprocess.run(
        [sys.executable, "-m", "alembic", "upgrade", "head"],
        cwd=BACKEND,
        env={**os.environ, "DATABASE_URL": database_url},
        check=True,
        capture_output=True,
    )
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
