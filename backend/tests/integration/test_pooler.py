"""A real PgBouncer in transaction mode: each transaction may have another
connection."""

import asyncio
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from pydantic import SecretStr
from sqlalchemy import text

from app.core.database import Database, create_sync_engine, translate_errors
from app.core.database_settings import DatabaseSettings
from app.core.exceptions import DatabaseUnavailable
from app.infrastructure.postgres.group_commit import GroupCommit
from app.models.schemas import TaskStatus
from app.repositories.data_repository import DataRepository
from local.ports import free_port
from local.servers.postgres import PASSWORD, USER, PostgreSQL
from tests.integration.responder import wait_until

BACKEND = Path(__file__).parents[2]
PROGRAM = shutil.which("pgbouncer", path=f"{os.environ['PATH']}:/usr/sbin")

pytestmark = pytest.mark.skipif(PROGRAM is None, reason="pgbouncer is not installed")

CONFIGURATION = """
[databases]
* = host=127.0.0.1 port={port} user={user} password={password}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {own_port}
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = 2
logfile = {folder}/log
"""


@pytest.fixture(scope="module")
def pooler(postgres: PostgreSQL) -> Iterator[int]:
    """The port of a pooler with two connections."""
    assert PROGRAM
    port = free_port()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        file = folder / "pgbouncer.ini"
        file.write_text(
            CONFIGURATION.format(
                port=postgres.port,
                own_port=port,
                user=USER,
                password=PASSWORD,
                folder=folder,
            )
        )
        user = "nobody" if os.geteuid() == 0 else None  # it refuses to be root
        if user:
            folder.chmod(0o777)
        process = subprocess.Popen([PROGRAM, "-q", str(file)], user=user)
        log = folder / "log"
        try:
            wait_until(lambda: log.exists() and "up" in log.read_text(), 10)
            yield port
        finally:
            process.kill()
            process.wait()


@pytest.fixture(scope="module")
def url(postgres: PostgreSQL, pooler: int) -> Iterator[str]:
    """A database of its own, migrated through the pooler by two replicas at once."""
    postgres.create_database("pooled")
    url = f"postgres://{USER}:{PASSWORD}@127.0.0.1:{pooler}/pooled"

    def migrate(_: int) -> int:
        return subprocess.run(
            [sys.executable, "-m", "alembic", "upgrade", "head"],
            cwd=BACKEND,
            env={**os.environ, "DATABASE_URL": url, "DB_TRANSACTION_POOLER": "true"},
            check=False,
        ).returncode

    with ThreadPoolExecutor() as threads:
        assert list(threads.map(migrate, range(2))) == [0, 0]
    yield url
    postgres.drop_database("pooled")


def settings(url: str, **values: object) -> DatabaseSettings:
    return DatabaseSettings.model_validate(
        {"database_url": SecretStr(url), "db_transaction_pooler": True} | values
    )


async def test_requests_share_two_connections(url: str) -> None:
    database = Database(settings(url))
    commits = [GroupCommit(database.engine) for _ in range(4)]

    async def store(commit: GroupCommit, number: int) -> None:
        row = DataRepository.row(
            task_id=f"{commits.index(commit)}-{number}",
            task_status=TaskStatus.SUCCESS,
            payload={"a": [number]},
        )
        await commit.add([row])
        async with database.session() as session:
            found = await DataRepository(session).get_by_task_id(row.values["task_id"])
            assert found and found.payload == {"a": [number]}

    await asyncio.gather(*(store(c, n) for c in commits for n in range(25)))
    for commit in commits:
        await commit.close()
    await database.close()


def test_a_task_has_its_time_limit_and_leaves_none_behind(url: str) -> None:
    engine = create_sync_engine(settings(url, db_timeout_seconds=0.2))
    autocommit = create_sync_engine(
        settings(url, db_timeout_seconds=0.2), isolation_level="AUTOCOMMIT"
    )
    unlimited = create_sync_engine(settings(url), statement_seconds=0)
    for limited in (engine, autocommit):
        with pytest.raises(DatabaseUnavailable), translate_errors():
            with limited.begin() as connection:
                connection.execute(text("SELECT pg_sleep(5)"))
    for _ in range(3):
        with unlimited.begin() as connection:
            assert connection.scalar(text("SHOW statement_timeout")) == "0"
    for each in (engine, autocommit, unlimited):
        each.dispose()


def test_without_the_setting_the_log_names_it(
    url: str, caplog: pytest.LogCaptureFixture
) -> None:
    engine = create_sync_engine(settings(url, db_transaction_pooler=False))
    with pytest.raises(DatabaseUnavailable), translate_errors():
        engine.connect()
    assert "DB_TRANSACTION_POOLER=true" in caplog.text
