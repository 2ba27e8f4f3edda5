"""Few log lines per outage, however many attempts fail."""

import logging
from types import SimpleNamespace

import pytest

from chassis.outages import Outage


class Clock:
    """Stands still until a test moves it."""

    now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    fake = SimpleNamespace(monotonic=clock.monotonic)
    monkeypatch.setattr("chassis.outages.time", fake)
    return clock


@pytest.fixture
def outage() -> Outage:
    return Outage("Redis")


REFUSED = ConnectionRefusedError("refused")


def fail(outage: Outage, clock: Clock, seconds: int) -> None:
    """Two attempts per second."""
    for _ in range(2 * seconds):
        outage.lost(REFUSED)
        clock.now += 0.5


def test_one_warning_of_the_loss_and_one_of_its_end(
    outage: Outage, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    assert outage.restored()
    fail(outage, clock, seconds=30)
    assert not outage.restored()
    assert caplog.messages == [
        "Lost Redis: ConnectionRefusedError: refused",
        "Connected to Redis again after 30.0 s",
    ]
    assert {record.levelno for record in caplog.records} == {logging.WARNING}


def test_a_server_that_never_answered_is_not_lost(
    outage: Outage, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    fail(outage, clock, seconds=2)
    assert caplog.messages == [
        "No connection to Redis: ConnectionRefusedError: refused"
    ]


def test_reminders_come_at_growing_intervals(
    outage: Outage, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    fail(outage, clock, seconds=3600)
    told = [m.split(" after ")[1].split(":")[0] for m in caplog.messages[1:]]
    assert told == [f"{s} s" for s in (60, 180, 420, 900, 1500, 2100, 2700, 3300)]


def test_a_new_reason_is_logged_at_once(
    outage: Outage, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(3):
        outage.lost(REFUSED)
        outage.lost(PermissionError("no"), "check the password")
        clock.now += 1
    first, second = caplog.messages
    assert second.endswith("PermissionError: no: check the password")


def test_another_error_of_the_same_loss_is_not_logged(
    outage: Outage, caplog: pytest.LogCaptureFixture
) -> None:
    outage.restored()
    for error in (ConnectionResetError("reset"), REFUSED, TimeoutError()):
        outage.lost(error)
    assert caplog.messages == ["Lost Redis: ConnectionResetError: reset"]


def test_an_error_without_a_text_is_named(
    outage: Outage, caplog: pytest.LogCaptureFixture
) -> None:
    outage.lost(TimeoutError())
    assert caplog.messages == ["No connection to Redis: TimeoutError"]


def test_a_later_loss_is_logged_again(
    outage: Outage, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(2):
        outage.restored()
        clock.now += 6
        fail(outage, clock, seconds=1)
    assert [m.split()[0] for m in caplog.messages] == ["Lost", "Connected", "Lost"]


def test_an_unstable_server_is_one_outage(
    outage: Outage, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(200):
        outage.lost(REFUSED)
        clock.now += 0.1
        outage.restored()
        clock.now += 0.1
    assert len(caplog.messages) == 2


def test_without_an_outage_nothing_is_logged(
    outage: Outage, caplog: pytest.LogCaptureFixture
) -> None:
    assert outage.restored()
    assert not outage.restored()
    assert not caplog.records


def test_a_bug_has_its_traceback(
    outage: Outage, caplog: pytest.LogCaptureFixture
) -> None:
    outage.lost(LookupError("a bug"), is_bug=True)
    assert caplog.records[0].exc_info
