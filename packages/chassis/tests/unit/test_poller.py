import os
import threading
import time
from collections.abc import Iterator

import pytest

from chassis.rpc.poller import Poller


@pytest.fixture
def poller() -> Iterator[Poller]:
    poller = Poller()
    yield poller
    poller.close()


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    ends = os.pipe()
    yield ends
    for end in ends:
        os.close(end)


def seconds_of_wait(poller: Poller, seconds: float) -> float:
    began = time.monotonic()
    assert poller.wait(seconds) is False
    return time.monotonic() - began


def test_waits_for_watched_descriptors(poller: Poller, pipe: tuple[int, int]) -> None:
    poller.watch([pipe[0]])
    assert poller.wait(0) is False
    os.write(pipe[1], b"x")
    assert poller.wait(10) is True
    poller.watch([])
    assert poller.wait(0) is False


def test_a_broken_descriptor_counts_as_readable(poller: Poller) -> None:
    read, write = os.pipe()
    os.close(write)
    poller.watch([read])
    assert poller.wait(10) is True
    os.close(read)


def test_wake_ends_a_wait(poller: Poller) -> None:
    poller.arm()
    threading.Timer(0.05, poller.wake).start()
    assert seconds_of_wait(poller, 10) < 5


@pytest.mark.promise(
    "docs/RPC.md", "It polls the socket and a pipe, so it sends a call at once"
)
def test_wake_before_the_wait_is_not_lost(poller: Poller) -> None:
    poller.arm()
    poller.wake()
    poller.wake()
    assert seconds_of_wait(poller, 10) < 5
    assert seconds_of_wait(poller, 0.05) >= 0.05


def test_wake_while_awake_costs_nothing(poller: Poller) -> None:
    poller.wake()
    assert seconds_of_wait(poller, 0.05) >= 0.05


@pytest.mark.promise(
    "docs/RPC.md", "It polls the socket and a pipe, so it sends a call at once"
)
def test_interrupt_is_never_lost(poller: Poller) -> None:
    for _ in range(100_000):  # more than fits into a pipe
        poller.interrupt()
    assert seconds_of_wait(poller, 10) < 5


def test_wake_ups_after_the_end_reach_nobody(poller: Poller) -> None:
    """A worker or a signal may come late, when the pipe's numbers are other files'."""
    poller.arm()
    poller.close()
    read, write = os.pipe()
    os.set_blocking(read, False)
    poller.wake()
    poller.interrupt()
    with pytest.raises(BlockingIOError):
        os.read(read, 1)
    os.close(read)
    os.close(write)
