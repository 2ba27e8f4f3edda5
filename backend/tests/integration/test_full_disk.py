"""PostgreSQL on a disk that is really full, while requests run."""

import asyncio
import os
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from pathlib import Path
from time import monotonic
from typing import Any, Self

import psycopg2
import pytest
from httpx2 import AsyncClient, Response
from pydantic import SecretStr

from app.core.config import Settings
from app.core.database_connections import writes
from app.core.database_settings import DatabaseSettings
from app.resources import open_resources
from chassis.settings import RpcSettings
from local.ports import free_port
from local.servers.postgres import PostgreSQL
from local.state import State
from tests.echo import PROCESS, create_echo_app
from tests.integration.conftest import BACKEND
from tests.integration.serving import serving

MEGABYTES = 192
# Random, so that PostgreSQL cannot compress it.
PAYLOAD = os.urandom(30_000).hex()
# Writes to the log of changes until that needs a new file.
FILL_LOG = "SELECT pg_logical_emit_message(false, 'x', repeat('x', 32000000))"


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgreSQL]:
    """PostgreSQL with its data, but not its log, on a small file system; migrated."""
    server = PostgreSQL(
        State(tmp_path_factory.mktemp("state")), free_port(), fsync=False
    )
    mount = ["mount", "-t", "tmpfs", "-o", f"size={MEGABYTES}m", "tmpfs"]
    done = subprocess.run([*mount, server.folder], capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"no file system can be mounted here: {done.stderr.strip()}")
    server.state.acquire()
    try:
        server.start()
        if not any(server.folder.iterdir()):
            pytest.skip("PostgreSQL cannot keep its data there: no user namespaces")
        env = {**os.environ, "DATABASE_URL": server.url()}
        command = [sys.executable, "-m", "alembic", "upgrade", "head"]
        subprocess.run(command, cwd=BACKEND, env=env, check=True, capture_output=True)
        yield server
    finally:
        server.kill()
        server.state.release()
        subprocess.run(["umount", "--lazy", server.folder], check=True)


def fill(folder: Path) -> Path:
    """Take all the space that is left; returns the file."""
    path = folder / "filler"
    with path.open("wb", buffering=0) as file:
        for size in (1 << 20, 1 << 12):
            try:
                while file.write(bytes(size)) == size:
                    pass
            except OSError:
                pass
    assert shutil.disk_usage(folder).free == 0
    return path


@pytest.fixture
async def http(own: PostgreSQL, settings: Settings) -> AsyncIterator[AsyncClient]:
    """The API, with that database."""
    database = DatabaseSettings(
        database_url=SecretStr(own.url()), async_database_url=None, db_timeout_seconds=2
    )
    rpc = RpcSettings(timeout_seconds=10)
    changed = settings.model_copy(update={"database": database, "rpc": rpc})
    app = create_echo_app(changed)
    async with open_resources(changed, app.state.budget) as resources:
        app.state.resources = resources
        async with serving(app) as url, AsyncClient(base_url=url, timeout=10) as http:
            yield http


class Clients:
    """Send requests to both endpoints, from entry to exit."""

    def __init__(self, http: AsyncClient) -> None:
        self._http = http
        self._ended = False
        self._tasks = asyncio.TaskGroup()
        self.answers: list[Response] = []

    async def __aenter__(self) -> Self:
        await self._tasks.__aenter__()
        for path in (PROCESS, PROCESS, PROCESS, f"{PROCESS}-async"):
            self._tasks.create_task(self._ask(path))
        return self

    async def __aexit__(self, *error: Any) -> None:
        self._ended = True
        await self._tasks.__aexit__(*error)

    async def _ask(self, path: str) -> None:
        while not self._ended:
            answer = await self._http.post(path, json={"payload": PAYLOAD})
            self.answers.append(answer)
            await asyncio.sleep(0.05)

    async def wait_for(self, *statuses: int, count: int = 8) -> None:
        """Wait until this many answers in a row have one of these."""
        begin = len(self.answers)
        while (last := self.answers[begin:][-count:]) is not None:
            if len(last) == count and all(a.status_code in statuses for a in last):
                return
            await asyncio.sleep(0.01)

    def assert_kept(self, server: PostgreSQL) -> None:
        """What was answered with success is stored; each failure said what it was."""
        accepted = set()
        for answer in self.answers:
            if answer.status_code in (200, 202):
                accepted.add(answer.headers["location"].rpartition("/")[2])
            else:
                assert answer.status_code == 503, answer.text
                assert answer.json()["code"] == "database_unavailable"
                assert int(answer.headers["retry-after"]) > 0
        assert accepted <= stored(server)


def stored(server: PostgreSQL) -> set[str]:
    """The ids of the records."""
    with closing(psycopg2.connect(server.address)) as connection:
        with connection.cursor() as cursor:
            cursor.execute("SELECT task_id FROM data_processing_records")
            return {task_id for (task_id,) in cursor}


async def is_ready(http: AsyncClient) -> bool:
    return (await http.get("/health/ready")).status_code == 200


async def becomes_ready(http: AsyncClient, expected: bool) -> None:
    while await is_ready(http) is not expected:
        await asyncio.sleep(0.1)


@pytest.mark.parametrize("what", ["tables", "log"])
async def test_requests_on_a_full_disk(
    http: AsyncClient, own: PostgreSQL, what: str
) -> None:
    """Tables cannot grow; with a full log of changes, PostgreSQL ends."""
    async with asyncio.timeout(60), Clients(http) as clients:
        await clients.wait_for(200, 202)
        filler = await asyncio.to_thread(fill, own.folder)
        if what == "log":
            with pytest.raises(psycopg2.OperationalError):
                await asyncio.to_thread(own.execute, FILL_LOG)
        await clients.wait_for(503)
        await becomes_ready(http, False)
        filler.unlink()
        if not own.ready():  # containers and `make run` start it again
            await asyncio.to_thread(own.restart)
        freed = monotonic()
        await clients.wait_for(200, 202, count=1)
        seconds = monotonic() - freed
        await becomes_ready(http, True)
        await clients.wait_for(200, 202)
    print(f"succeeded {seconds:.2f} s after there was space")
    clients.assert_kept(own)
    assert seconds < 5


async def test_not_ready_while_only_small_rows_fit(
    http: AsyncClient, own: PostgreSQL
) -> None:
    await http.post(PROCESS, json={"payload": "first"})  # its page has space for more
    filler = await asyncio.to_thread(fill, own.folder)
    os.truncate(filler, filler.stat().st_size - 96 * 1024)
    statuses = []
    for payload in ("small", PAYLOAD):
        answer = await http.post(PROCESS, json={"payload": payload})
        statuses.append(answer.status_code)
    assert statuses == [200, 503]
    assert not await is_ready(http) and writes.are_refused
    filler.unlink()
    async with asyncio.timeout(10):
        await becomes_ready(http, True)
    assert not writes.are_refused  # probes write no more
