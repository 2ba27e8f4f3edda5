"""Following one log while it grows."""

import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from local.logs_local import LINES, follow


@pytest.fixture
def log(tmp_path: Path) -> Path:
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs/api.log").touch()
    log = tmp_path / "logs/worker.log"
    log.write_text("".join(f"line {number}\n" for number in range(LINES + 1)))
    return log


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_the_last_lines_come_first_then_what_is_new(
    tmp_path: Path, log: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stopped, said = threading.Event(), [""]

    def shows(text: str) -> bool:
        said[0] += capsys.readouterr().out
        return text in said[0]

    arguments = (["worker"], tmp_path, stopped)
    following = threading.Thread(target=follow, args=arguments)
    following.start()
    until(lambda: shows("line 1\n"))
    with log.open("a") as file:
        file.write("new\n")
    until(lambda: shows("new\n"))
    # A new `make run` does this.
    log.replace(log.with_suffix(".log.previous"))
    log.write_bytes(b"\xff of the next run\n")  # libraries in C write any bytes
    until(lambda: shows(" of the next run\n"))
    stopped.set()
    following.join()
    assert "line 0\n" not in said[0] and "worker was started anew" in said[0]


@pytest.mark.parametrize("words", [[], [""], ["wörker"], ["api", "worker"]])
def test_another_name_is_answered_with_those_that_there_are(
    tmp_path: Path, log: Path, words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert follow(words, tmp_path) == 1
    assert "There are: api, worker" in capsys.readouterr().err


def test_before_the_first_run_there_are_none(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert follow(["worker"], tmp_path) == 1
    assert "no logs" in capsys.readouterr().err
