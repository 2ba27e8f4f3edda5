"""Signals that stop what runs in this process."""

import os
import signal
import threading
from collections.abc import Callable
from typing import Any

import pytest

from chassis.signals import run_together, stopped_by_signals

SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Part:
    """Does something, and runs until it is stopped."""

    def __init__(self, does: Callable[[], object] = lambda: None) -> None:
        self.does, self.stopping = does, threading.Event()
        self.stops = 0
        self.thread: threading.Thread | None = None

    def run(self) -> None:
        self.thread = threading.current_thread()
        self.does()
        assert self.stopping.wait(10)

    def stop(self) -> None:
        self.stops += 1
        self.stopping.set()


def send(number: int) -> Callable[[], None]:
    return lambda: os.kill(os.getpid(), number)


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_stops_all_parts(number: int) -> None:
    before = [signal.getsignal(each) for each in SIGNALS]
    parts = [Part(), Part(send(number)), Part()]
    run_together(parts)
    assert [part.stops for part in parts] == [1, 1, 1]
    threads = {part.thread for part in parts}
    assert len(threads) == 3 and threading.current_thread() not in threads
    assert [signal.getsignal(each) for each in SIGNALS] == before


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_one_that_fails_stops_the_others() -> None:
    def fail() -> None:
        raise RuntimeError("a bug")

    parts = [Part(), Part(fail), Part()]
    with pytest.raises(SystemExit) as ended:
        run_together(parts)
    assert ended.value.code == 1
    assert [part.stopping.is_set() for part in (parts[0], parts[2])] == [True, True]


def test_one_alone_runs_in_this_thread() -> None:
    part = Part()
    part.stopping.set()
    run_together([part])
    assert part.thread is threading.current_thread() and part.stops == 0


def test_a_second_signal_ends_the_process_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    codes: list[int] = []
    monkeypatch.setattr(os, "_exit", codes.append)
    stops: list[Any] = []
    with stopped_by_signals(lambda: stops.append(list(codes))):
        signal.raise_signal(signal.SIGINT)
        assert (stops, codes) == ([[]], [])
        signal.raise_signal(signal.SIGTERM)
    assert codes == [128 + signal.SIGTERM]


def test_other_threads_handle_no_signals() -> None:
    before = [signal.getsignal(each) for each in SIGNALS]
    inside: list[Any] = []

    def run() -> None:
        with stopped_by_signals(lambda: None):
            inside.extend(signal.getsignal(each) for each in SIGNALS)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join(10)
    assert inside == before
