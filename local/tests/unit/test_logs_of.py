"""The lines of one request, over all logs."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from local.logs_of import show

ACCESS = "2026-11-26 08:00:00,500 INFO    app.access [r-1] POST /x 200 3.0 ms"
SERVED = '{"timestamp": "2026-11-26T08:00:00.400Z", "request_id": "r-1"}'
FAILED = "2026-11-26 08:00:00,300 ERROR   app.x [r-1] failed\nTraceback\nOSError: odd"
GATEWAY = '{"timestamp":"2026-11-26T09:00:00.600+01:00","request_id":"r-1"}'
OTHER = "2026-11-26 08:00:00,400 INFO    app.access [r-2] GET / 200 1.0 ms"


@pytest.fixture
def run(tmp_path: Path) -> Path:
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs/api.log").write_text(f"{FAILED}\n{OTHER}\n{ACCESS}\n")
    (tmp_path / "logs/data.log").write_text(f"{SERVED}\n")
    (tmp_path / "logs/nginx-access.log").write_text(f"{GATEWAY}\n")
    return tmp_path


@pytest.fixture
def local_time(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    """Sets the time zone of text log lines."""

    def choose(zone: str) -> None:
        monkeypatch.setenv("TZ", zone)
        time.tzset()

    yield choose
    monkeypatch.undo()
    time.tzset()


def test_lines_of_all_logs_come_in_order(
    run: Path,
    local_time: Callable[[str], None],
    capsys: pytest.CaptureFixture[str],
) -> None:
    local_time("UTC")
    assert show(["r-1"], run) == 0
    said = capsys.readouterr().out
    api = f"api: {FAILED}\ndata: {SERVED}\napi: {ACCESS}\n"
    assert said == f"{api}nginx-access: {GATEWAY}\n"


def test_lines_in_local_time_stand_among_those_in_universal_time(
    run: Path,
    local_time: Callable[[str], None],
    capsys: pytest.CaptureFixture[str],
) -> None:
    local_time("UTC-1")  # POSIX: an hour ahead of UTC, so 8:00 there is earlier
    assert show(["r-1"], run) == 0
    said = capsys.readouterr().out
    assert said.endswith(f"{ACCESS}\ndata: {SERVED}\nnginx-access: {GATEWAY}\n")


@pytest.mark.parametrize(
    ("words", "reason"),
    [(["r-9"], "contains r-9"), ([], "Name the request"), ([""], "Name the request")],
)
def test_missing_lines_are_reported(
    run: Path, words: list[str], reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert show(words, run) == 1
    assert reason in capsys.readouterr().err
