"""The lines of one request, over all logs."""

from pathlib import Path

import pytest

from local.logs_of import show

ACCESS = "2026-11-26 08:00:00,500 INFO    app.access [r-1] POST /x 200 3.0 ms"
SERVED = '{"timestamp": "2026-11-26T08:00:00.400Z", "request_id": "r-1"}'
FAILED = "2026-11-26 08:00:00,300 ERROR   app.x [r-1] failed\nTraceback\nOSError: odd"
OTHER = "2026-11-26 08:00:00,400 INFO    app.access [r-2] GET / 200 1.0 ms"


@pytest.fixture
def run(tmp_path: Path) -> Path:
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs/api.log").write_text(f"{FAILED}\n{OTHER}\n{ACCESS}\n")
    (tmp_path / "logs/data.log").write_text(f"{SERVED}\n")
    return tmp_path


def test_lines_of_all_logs_come_in_order(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert show(["r-1"], run) == 0
    said = capsys.readouterr().out
    assert said == f"api: {FAILED}\ndata: {SERVED}\napi: {ACCESS}\n"


@pytest.mark.parametrize(
    ("words", "reason"),
    [(["r-9"], "contains r-9"), ([], "Name the request"), ([""], "Name the request")],
)
def test_missing_lines_are_reported(
    run: Path, words: list[str], reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert show(words, run) == 1
    assert reason in capsys.readouterr().err
