"""Sessions of tests that begin at once leave each other's folders alone."""

import fcntl
import inspect
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from local import pytest_plugin


def a_session(failed: int) -> Any:
    """The request of a session with so many failed tests."""
    return SimpleNamespace(session=SimpleNamespace(testsfailed=failed))


@pytest.mark.parametrize("failed", [0, 2])
def test_the_logs_of_a_failed_test_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failed: int
) -> None:
    monkeypatch.setattr(pytest_plugin, "LOCAL", tmp_path)
    monkeypatch.setattr(pytest_plugin, "FAILED", tmp_path / "failed")
    session = inspect.unwrap(pytest_plugin.state)(a_session(failed))
    state = next(session)
    state.log("worker").write_text("why")
    assert next(session, None) is None
    assert not state.path.exists()
    kept = [path.read_text() for path in tmp_path.glob("failed/test-*/worker.log")]
    assert kept == (["why"] if failed else [])


def test_one_session_begins_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It removes folders that nobody has locked, such as one that is just made."""
    removed = threading.Event()
    monkeypatch.setattr(pytest_plugin, "LOCAL", tmp_path)
    monkeypatch.setattr(pytest_plugin, "remove_abandoned", lambda _: removed.set())
    own = inspect.unwrap(pytest_plugin.state)(a_session(failed=0))
    session = threading.Thread(target=next, args=(own,))
    with (tmp_path / "starting").open("a") as other:
        fcntl.flock(other, fcntl.LOCK_SH)  # even one that only looks
        session.start()
        assert not removed.wait(0.3)
    session.join(10)
    assert removed.is_set() and next(own, None) is None
    assert [path.name for path in tmp_path.iterdir()] == ["starting"]
