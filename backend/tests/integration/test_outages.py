"""Servers that are down or refuse a login: worker, beat and sessions log it once."""

import os
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from app.core import database_errors as module
from app.core.database import Database, create_sync_engine, translate_errors
from app.core.database_settings import DatabaseSettings
from app.core.exceptions import DatabaseUnavailable
from chassis.outages import Outage
from local.servers.redis import Redis
from local.tests.troubleshooting import explanation
from tests.integration.responder import wait_until

BACKEND = Path(__file__).parents[2]
PROGRAMS = {
    "worker": "worker --pool threads --without-mingle --without-gossip "
    "--without-heartbeat",
    "beat": "beat --pidfile=",
}

Start = Callable[[str], None]


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "log"


@pytest.fixture
def start(
    log: Path, redis_server: Redis, database_settings: DatabaseSettings
) -> Iterator[Start]:
    env = {
        **os.environ,
        "CELERY_BROKER_URL": redis_server.url(0),
        "CELERY_RESULT_BACKEND": redis_server.url(0),
        "CELERY_SWEEP_EVERY_SECONDS": "1",
        "DATABASE_URL": database_settings.database_url.get_secret_value(),
        "LOG_FORMAT": "text",
    }
    with ExitStack() as processes:

        def start(program: str) -> None:
            words = f"celery -A app.worker {PROGRAMS[program]}"
            with log.open("ab") as output:
                process = subprocess.Popen(
                    [sys.executable, "-m", *words.split()],
                    cwd=BACKEND,
                    env=env,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                )
            processes.callback(process.wait)
            processes.callback(process.kill)

        yield start


def said(log: Path) -> Counter[str]:
    """The first words of warnings and errors about Redis."""
    lines = log.read_text().splitlines()
    return Counter(
        " ".join(line.partition("] ")[2].split()[:3])
        for line in lines
        if ("WARNING" in line or "ERROR" in line) and "edis" in line
    )


def refuse(port: int, attempts: int) -> None:
    """Replace a server that is down: close that many connections as they come."""
    with socket.create_server(("127.0.0.1", port)) as listener:
        listener.settimeout(30)
        for _ in range(attempts):
            listener.accept()[0].close()


@pytest.mark.promise("ARCHITECTURE.md", "The API starts even when a server is down.")
@pytest.mark.parametrize("program", PROGRAMS)
def test_a_lost_redis_is_logged_once(
    start: Start, program: str, redis_server: Redis, log: Path
) -> None:
    ready = {"worker": " ready.", "beat": "Sending due task sweep"}[program]
    start(program)
    wait_until(lambda: ready in log.read_text(), 30)
    redis_server.kill()
    try:
        wait_until(lambda: said(log)["Lost Redis, which"] == 1, 30)
        refuse(redis_server.port, attempts=4)
    finally:
        redis_server.start()
    wait_until(lambda: said(log)["Connected to Redis,"] == 1, 30)
    assert said(log) == {"Lost Redis, which": 1, "Connected to Redis,": 1}
    assert "Traceback" not in log.read_text()


def refusals(client: Any) -> int:
    """How many commands Redis refused because they had no password."""
    return int(client.info("errorstats")["errorstat_NOAUTH"]["count"])


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_wrong_password_is_logged_once_with_advice(
    start: Start, program: str, redis_server: Redis, log: Path
) -> None:
    with redis_server.connect() as client:
        client.config_set("requirepass", "sesame")
        try:
            start(program)
            wait_until(lambda: "check CELERY_BROKER_URL" in log.read_text(), 30)
            before = refusals(client)
            wait_until(lambda: refusals(client) >= before + 2, 30)
            assert said(log) == {"No connection to": 1}
            assert "URL" in explanation(log.read_text())
        finally:
            client.config_set("requirepass", "")
    wait_until(lambda: said(log)["Connected to Redis,"] == 1, 30)


@pytest.fixture
def nowhere(
    database_settings: DatabaseSettings, monkeypatch: pytest.MonkeyPatch
) -> DatabaseSettings:
    """The URL of a database that does not exist."""
    monkeypatch.setattr(module, "_outage", Outage("PostgreSQL"))
    url = database_settings.database_url.get_secret_value()
    other = SecretStr(url.rpartition("/")[0] + "/nowhere")
    return database_settings.model_copy(update={"database_url": other})


TOLD = "check the user, password and database in DATABASE_URL"


def test_a_wrong_database_is_logged_once(
    nowhere: DatabaseSettings, caplog: pytest.LogCaptureFixture
) -> None:
    engine = create_sync_engine(nowhere)
    for _ in range(3):
        with pytest.raises(DatabaseUnavailable), translate_errors():
            with engine.connect():
                pass
    (line,) = caplog.messages
    assert line.startswith("No connection to PostgreSQL:") and TOLD in line
    assert explanation(line)


async def test_a_wrong_database_is_unavailable_for_requests(
    nowhere: DatabaseSettings, caplog: pytest.LogCaptureFixture
) -> None:
    database = Database(nowhere)
    for _ in range(3):
        with pytest.raises(DatabaseUnavailable):
            async with database.session() as session:
                await session.connection()
    await database.close()
    (line,) = caplog.messages
    assert line.startswith("No connection to PostgreSQL:") and TOLD in line
