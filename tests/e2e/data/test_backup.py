"""The data of every server is destroyed, and the stack restored: to the last moment,
and to an earlier one. What is there afterwards is compared with a ledger."""

import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from json import loads
from pathlib import Path
from typing import Any, NamedTuple

import psycopg2
import pytest

from local.apps import ROOT
from local.backup import restore
from local.run import ENVIRONMENT_FILE
from local.state import end_leftovers, leftovers
from local.tests.integration.launcher import Launcher
from tests.e2e.client import PROCESS_ASYNC, RECORDS, Api, exact, wait_for

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(900)]

FOLLOW = (
    "import sys, pathlib; from local.backup import backup\n"
    "backup(['--follow'], *map(pathlib.Path, sys.argv[1:]))"
)
EVENTS = "/api/v1/events"


class Place(NamedTuple):
    """The folders of the stack and of its backups."""

    run: Path
    backups: Path


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    place = Place(tmp_path / "run", tmp_path / "backups")
    yield place
    end_leftovers(place.run)


@contextmanager
def running(place: Place) -> Iterator[Api]:
    """The whole stack as `make run` starts it; killed in the end."""
    launcher = Launcher(place.run)
    launcher.start()
    try:
        with closing(Api(launcher.url())) as api:
            yield api
    finally:
        launcher.process.kill()
        launcher.process.wait()
        end_leftovers(place.run)


@contextmanager
def database(place: Place) -> Iterator[Any]:
    env = loads((place.run / ENVIRONMENT_FILE).read_text())
    url = env["MIGRATIONS_DATABASE_URL"].replace("+psycopg2", "")
    with closing(psycopg2.connect(url)) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            yield cursor


def write(api: Api, name: str) -> dict[str, str]:
    """Some work of both kinds that ends; the outcomes by task id."""
    records = [api.process(f"{name} {number}", "reverse") for number in range(3)]
    records += [api.process_async(f"{name} later", "reverse")]
    return {record["task_id"]: exact(record["outcome"]) for record in records}


def stored(api: Api) -> dict[str, str]:
    rows = [row for page in api.pages(RECORDS, limit=100) for row in page]
    return {row["task_id"]: exact(row["outcome"]) for row in rows}


def events(api: Api) -> dict[str, int]:
    """The sequence numbers of all events by their ids."""
    found: dict[str, int] = {}
    for page in api.pages(EVENTS, limit=100):
        found |= {event["id"]: int(event["sequence"]) for event in page}
    return found


def follow(place: Place) -> subprocess.Popen[str]:
    """`make backup ARGS=--follow`, when it has begun to receive."""
    process = subprocess.Popen(
        [sys.executable, "-c", FOLLOW, str(place.run), str(place.backups)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("Receiving"):
            break
    return process


def received(place: Place) -> None:
    """Wait until the backup has what was committed until now."""
    with database(place) as cursor:
        cursor.execute("SELECT pg_current_wal_lsn()")
        (written,) = cursor.fetchone()

        def is_received() -> bool:
            cursor.execute(
                "SELECT count(*) > 0 FROM pg_stat_replication WHERE flush_lsn >= %s",
                [written],
            )
            return bool(cursor.fetchone()[0])

        wait_for(is_received, "the backup has received everything", 60)


def test_everything_is_destroyed_and_restored(place: Place) -> None:
    with ExitStack() as receiving:
        with running(place) as api:
            ledger = write(api, "before the backup")
            process = follow(place)
            receiving.callback(process.wait)
            receiving.callback(process.kill)
            ledger |= write(api, "after the backup")
            early = dict(ledger)
            with database(place) as cursor:
                cursor.execute("""SELECT to_char(clock_timestamp() AT TIME ZONE 'UTC',
                    'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')""")
                (moment,) = cursor.fetchone()
            ledger |= write(api, "too late")
            for found in leftovers(place.run, "dataservice"):
                found.suspend()  # so that accepted work does not end
            lost = api.post(PROCESS_ASYNC, "accepted", "reverse")
            assert lost.status_code == 202
            seen = events(api)
            received(place)
        process.send_signal(signal.SIGTERM)
    for name in ("postgres", "redis", "redis-keys", "rabbitmq"):
        shutil.rmtree(place.run / name)

    assert restore([], place.run, place.backups) == 0
    with running(place) as api:
        ended = api.wait_ended(lost.json()["task_id"])  # the sweep has found it
        assert ended["task_status"] == "Success"
        ledger[ended["task_id"]] = exact(ended["outcome"])
        assert stored(api) == ledger
        kept = events(api)
        assert seen.items() <= kept.items()

    assert restore([moment], place.run, place.backups) == 0
    with running(place) as api:
        assert stored(api) == early
        early |= write(api, "a new life")
        assert stored(api) == early
        last = events(api)
        old = {event: number for event, number in last.items() if event in seen}
        new = set(last.values()) - set(old.values())
        assert old.items() <= seen.items()
        assert min(new) > max(kept.values()), "clients that resume miss none"
