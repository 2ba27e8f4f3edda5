"""The table of running parts."""

from pathlib import Path

import pytest

from local import status
from local.state import State
from local.status import Part, show, table

REDIS = Part("redis", "6.2.14", 6379, "redis://127.0.0.1:6379/0")
WORKER = Part("worker", "5.7.4", 0, "")

TABLE = """\
  part    state  version  port  address
  redis   up     6.2.14   6379  redis://127.0.0.1:6379/0
  worker  down   5.7.4"""


@pytest.fixture
def held(tmp_path: Path) -> State:
    state = State(tmp_path / "run")
    state.acquire()
    return state


def test_the_table() -> None:
    rows = [(REDIS, "up"), (WORKER, "down")]
    assert table(rows, colours=False) == TABLE
    coloured = table(rows, colours=True)
    assert "\x1b[32mup   \x1b[0m" in coloured and "\x1b[31mdown \x1b[0m" in coloured


def test_what_is_not_there_is_down(
    held: State, capsys: pytest.CaptureFixture[str]
) -> None:
    status.note(held.path, [WORKER])
    assert show([], held.path) == 1
    said = capsys.readouterr().out
    assert "worker  down" in said and "0 of 1 are up" in said
    assert (held.path / status.PARTS_FILE).stat().st_mode & 0o077 == 0
    held.release()


def test_a_server_of_somebody_elses_is_down_when_it_takes_no_connection(
    tmp_path: Path,
) -> None:
    part = Part("rabbitmq", "", 1, "", host="127.0.0.1")
    assert status.state_of(part, tmp_path) == "down"


def test_a_stack_that_starts_is_not_up(
    held: State, capsys: pytest.CaptureFixture[str]
) -> None:
    assert show([], held.path) == 1
    assert status.STARTING in capsys.readouterr().err
    held.release()


def test_nothing_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert show([], tmp_path) == 1
    assert status.NOT_RUNNING in capsys.readouterr().err
    state = State(tmp_path / "run")
    state.acquire()
    status.note(state.path, [WORKER])
    state.release()
    assert show([], state.path) == 1
    assert status.NOT_RUNNING in capsys.readouterr().err
