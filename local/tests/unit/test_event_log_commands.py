"""`make rebuild-records` fails if records differ, as its page says."""

import subprocess
from collections.abc import Callable, Mapping

import pytest

from local import commands


@pytest.mark.parametrize("status", [0, 1])
def test_its_exit_code_says_whether_records_differ(
    monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    def with_database(action: Callable[[Mapping[str, str]], str]) -> int:
        assert action({}) == "Found 1 missing"
        return 0

    def run(*_: object, **__: object) -> subprocess.CompletedProcess[str]:
        return subprocess.CompletedProcess([], status, "Found 1 missing", "")

    monkeypatch.setattr(commands, "_with_database", with_database)
    monkeypatch.setattr(subprocess, "run", run)
    assert commands.run("rebuild-records", []) == status
