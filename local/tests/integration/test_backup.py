"""The data of PostgreSQL is destroyed, and restored to the last moment or to an earlier
one. `tests/e2e/data/test_backup.py` does so with the whole stack."""

import json
import shutil
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import psycopg2
import pytest

from local.backup import NOT_RUNNING, backup, restore
from local.ports import free_port
from local.process import ProcessFailed
from local.run import ENVIRONMENT_FILE
from local.servers.postgres import PostgreSQL
from local.state import State

NUMBERS = "CREATE SEQUENCE event_log_base MINVALUE 0 START 0"
NOW = """SELECT to_char(clock_timestamp() AT TIME ZONE 'UTC',
    'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')"""
LAST = "SELECT last_value FROM event_log_base"


@contextmanager
def running(run: Path) -> Iterator[PostgreSQL]:
    """PostgreSQL as `make run` has it."""
    state = State(run)
    state.acquire()
    server = PostgreSQL(state, free_port(), fsync=False)
    try:
        server.start()
        file = run / ENVIRONMENT_FILE
        file.write_text(json.dumps(server.environment()))
        yield server
    finally:
        server.kill()
        state.release()


def ask(server: PostgreSQL, question: str) -> list[str]:
    """The first column of the answer."""
    url = server.url().replace("+psycopg2", "")
    with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
        cursor.execute(question)
        return [str(row[0]) for row in cursor]


@pytest.mark.timeout(600)
def test_restored_to_the_last_moment_and_to_an_earlier_one(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    run, backups = tmp_path / "run", tmp_path / "the backups"
    with running(run) as server:
        server.execute(NUMBERS)
        server.execute("CREATE TABLE ledger (entry text)")
        server.execute("INSERT INTO ledger VALUES ('before the backup')")
        assert backup([], run, backups) == 0
        time.sleep(1)  # backups are named by seconds
        server.execute("INSERT INTO ledger VALUES ('after it')")
        (moment,) = ask(server, NOW)
        server.execute("INSERT INTO ledger VALUES ('too late')")
        assert backup([], run, backups) == 0
        server.execute("INSERT INTO ledger VALUES ('lost')")
    shutil.rmtree(data := server.data)

    assert restore([], run, backups) == 0
    with running(run) as server:
        entries = ask(server, "SELECT entry FROM ledger")
        assert entries == ["before the backup", "after it", "too late"]
        (number,) = ask(server, LAST)
        assert int(number) > 0

    assert restore([moment], run, backups) == 0
    with running(run) as server:
        assert ask(server, "SELECT entry FROM ledger") == entries[:2]
        (later,) = ask(server, LAST)
        assert int(later) > int(number), "clients have seen the other's numbers"
        assert backup([], run, backups) == 0, "a history of its own"
        server.execute("INSERT INTO ledger VALUES ('lost')")
    assert restore([], run, backups) == 0
    assert len([*data.parent.glob("data.before-*")]) == 2, "nothing is deleted"
    with running(run) as server:
        assert ask(server, "SELECT entry FROM ledger") == entries[:2]

    for words, reason in (
        (["2020-01-01T00:00:00Z"], "no base backup before 2020"),
        (["yesterday"], "write the time in UTC"),
    ):
        with pytest.raises(ProcessFailed):
            restore(words, run, backups)
        assert reason in capfd.readouterr().err
    with running(run) as server:
        assert ask(server, "SELECT entry FROM ledger") == entries[:2], "still there"
    for _ in range(2):
        assert restore([], run, backups) == 0
    assert len([*data.parent.glob("data.before-*")]) == 4, "also within a second"


def test_only_what_runs_is_backed_up(tmp_path: Path) -> None:
    with pytest.raises(ProcessFailed, match=NOT_RUNNING):
        backup([], tmp_path, tmp_path)
