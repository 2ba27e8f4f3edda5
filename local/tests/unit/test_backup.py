"""What `make backup` writes beside PostgreSQL's own files."""

import json
from pathlib import Path

import pytest

from local import backup
from local.run import ENVIRONMENT_FILE
from local.state import AlreadyRunning, State


def test_hashes_of_passwords_are_their_owners_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    env = {"MIGRATIONS_DATABASE_URL": "", "RABBITMQ_MANAGEMENT_URL": ""}
    (tmp_path / ENVIRONMENT_FILE).write_text(json.dumps(env))
    done: list[str] = []
    monkeypatch.setattr(State, "is_held", True)
    monkeypatch.setattr(backup, "_definitions", lambda *_: b"{}")
    monkeypatch.setattr(backup, "_script", lambda *words: done.append(str(words[3])))
    assert backup.backup(["--follow"], tmp_path, tmp_path) == 0
    assert (tmp_path / backup.DEFINITIONS).stat().st_mode & 0o777 == 0o600
    assert done == ["base", "wal-so-far", "wal"]


def test_nothing_is_restored_under_a_running_stack(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backup, "_script", lambda *words: pytest.fail(str(words)))
    running = State(tmp_path / "run")
    running.acquire()
    try:
        with pytest.raises(AlreadyRunning, match="Stop it first"):
            backup.restore([], running.path, tmp_path)
    finally:
        running.release()
