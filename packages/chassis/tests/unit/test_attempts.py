"""Reports of failures, and pauses between attempts to connect."""

from types import SimpleNamespace

import pytest

from chassis.rpc.attempts import Attempts
from chassis.rpc.backoff import Backoff


def test_pauses_double_with_jitter_up_to_the_longest() -> None:
    backoff = Backoff(first=1, longest=10)
    for full in [1, 2, 4, 8, 10, 10]:
        assert full / 2 <= backoff.next_delay() <= full


def test_reset_begins_anew() -> None:
    backoff = Backoff(first=1, longest=10)
    backoff.next_delay()
    backoff.reset()
    assert backoff.next_delay() <= 1


def test_each_kind_of_failure_is_reported_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    attempts = Attempts()
    refused, late = ConnectionRefusedError("refused"), TimeoutError("late")
    for error in (refused, late, refused, late):
        attempts.begin()
        attempts.failed("the broker", error, expected=True)
    assert [record.levelname for record in caplog.records] == ["WARNING", "WARNING"]
    assert "Not connected to the broker: ConnectionRefusedError: refused" in caplog.text
    assert all(record.exc_info is None for record in caplog.records)


def test_a_loss_after_success_is_news(caplog: pytest.LogCaptureFixture) -> None:
    attempts = Attempts()
    for _ in range(2):
        attempts.failed("it", ConnectionResetError("reset"), expected=True)
        attempts.succeeded()
    assert len(caplog.records) == 2


def test_a_bug_has_its_traceback(caplog: pytest.LogCaptureFixture) -> None:
    Attempts().failed("it", LookupError("a bug"), expected=False)
    assert caplog.records[0].exc_info


def test_a_connection_that_held_begins_with_short_pauses(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    attempts = Attempts()
    clock = iter([0.0, 0.1, 1.0, 1.1, 2.0, 2.1, 3.0, 4.1])
    fake = SimpleNamespace(monotonic=lambda: next(clock))
    monkeypatch.setattr("chassis.rpc.attempts.time", fake)
    pauses = []
    for _ in range(4):
        attempts.begin()
        attempts.succeeded()
        pauses.append(attempts.failed("it", OSError(), expected=True))
    assert pauses[0] <= 0.1 < pauses[2]  # flapping: longer and longer
    assert pauses[3] <= 0.1
