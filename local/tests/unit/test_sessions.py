"""Sessions of tests that begin at once leave each other's folders alone."""

import fcntl
import inspect
import threading
from pathlib import Path

import pytest

from local import pytest_plugin


def test_one_session_begins_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It removes folders that nobody has locked, such as one that is just made."""
    removed = threading.Event()
    monkeypatch.setattr(pytest_plugin, "LOCAL", tmp_path)
    monkeypatch.setattr(pytest_plugin, "remove_abandoned", lambda _: removed.set())
    own = inspect.unwrap(pytest_plugin.state)()
    session = threading.Thread(target=next, args=(own,))
    with (tmp_path / "starting").open("a") as other:
        fcntl.flock(other, fcntl.LOCK_SH)  # even one that only looks
        session.start()
        assert not removed.wait(0.3)
    session.join(10)
    assert removed.is_set() and next(own, None) is None
    assert [path.name for path in tmp_path.iterdir()] == ["starting"]
