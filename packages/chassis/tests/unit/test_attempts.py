"""Log lines and pauses between attempts to connect."""

import itertools
from types import SimpleNamespace
from typing import Any

import pytest

from chassis.rpc.attempts import Attempts
from chassis.rpc.backoff import Backoff


def one_of(nodes: int, advice: str | None = None) -> Any:
    """A connection to one of these."""
    return SimpleNamespace(nodes=nodes, errors=(OSError,), advice=lambda _: advice)


@pytest.mark.promise(
    "SEQUENCE-DIAGRAMS.md", "after 0.1 s, doubling up to 2 s, with jitter"
)
def test_pauses_double_with_jitter_up_to_the_longest() -> None:
    backoff = Backoff(first=1, longest=10)
    for full in [1, 2, 4, 8, 10, 10]:
        assert full / 2 <= backoff.next_delay() <= full


@pytest.mark.promise(
    "docs/RPC.md", "The client keeps reconnecting, with back-off and jitter."
)
def test_processes_that_lost_one_broker_return_at_different_times() -> None:
    assert len({Backoff().next_delay() for _ in range(10)}) > 1


def test_reset_starts_with_the_first_pause() -> None:
    backoff = Backoff(first=1, longest=10)
    backoff.next_delay()
    backoff.reset()
    assert backoff.next_delay() <= 1


@pytest.mark.promise(
    "docs/RPC.md", "waits only when none of them has accepted a connection"
)
def test_there_is_no_pause_before_every_node_was_tried() -> None:
    attempts = Attempts("the broker")

    def pauses(number: int, nodes: int) -> list[bool]:
        connection = one_of(nodes)
        return [attempts.failed(OSError(), connection) > 0 for _ in range(number)]

    assert pauses(7, 3) == [False, False, True, False, False, True, False]
    attempts.succeeded()  # and is lost again: the others come first
    assert pauses(3, 3) == [False, False, True]
    assert pauses(1, 1) == [True]


def test_a_failure_is_a_warning_with_advice(
    caplog: pytest.LogCaptureFixture,
) -> None:
    attempts = Attempts("the broker")
    for _ in range(3):
        attempts.failed(OSError("refused"), one_of(1, advice="start it"))
    (record,) = caplog.records
    assert record.levelname == "WARNING" and record.exc_info is None
    said = "No connection to the broker: OSError: refused: start it"
    assert record.getMessage() == said


def test_a_bug_has_its_traceback(caplog: pytest.LogCaptureFixture) -> None:
    Attempts("it").failed(LookupError("a bug"), one_of(1))
    assert caplog.records[0].exc_info
    caplog.clear()
    Attempts("it").failed(LookupError("known here"), one_of(1), (LookupError,))
    assert not caplog.records[0].exc_info


@pytest.mark.promise(
    "SEQUENCE-DIAGRAMS.md", "after 0.1 s, doubling up to 2 s, with jitter"
)
def test_a_loss_after_a_stable_connection_starts_with_short_pauses(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    attempts = Attempts("it")
    clock = iter([0.1, 1.0, 1.1, 2.0, 2.1, 3.0, 3.1, 4.2])
    fake = SimpleNamespace(monotonic=lambda: next(clock))
    monkeypatch.setattr("chassis.rpc.attempts.time", fake)
    pauses = []
    for _ in range(4):
        attempts.succeeded()
        pauses.append(attempts.failed(OSError(), one_of(1)))
    assert pauses[0] <= 0.1 < pauses[2]  # unstable: growing pauses
    assert pauses[3] <= 0.1
    for _ in range(3):  # it does not come back
        pauses.append(attempts.failed(OSError(), one_of(1)))
    assert pauses[-1] >= 0.4


def test_slow_refusals_have_growing_pauses(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """RabbitMQ delays its answer to a wrong password."""
    attempts = Attempts("it")
    clock = itertools.count(0, 10)
    fake = SimpleNamespace(monotonic=lambda: float(next(clock)))
    monkeypatch.setattr("chassis.rpc.attempts.time", fake)
    pauses = [attempts.failed(OSError(), one_of(1)) for _ in range(8)]
    assert min(pauses[5:]) >= Backoff().longest / 2
