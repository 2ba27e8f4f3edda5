import threading
from collections.abc import Iterator

import pytest

from chassis.rpc.wire import Outcome, Request, Settlement
from chassis.rpc.workers import Finished, WorkerPool
from tests.unit.deliveries import make_request


class Bench:
    """A pool whose handlers wait for `gate`, and its finished requests."""

    def __init__(self, size: int) -> None:
        self.gate = threading.Event()
        self.began = threading.Semaphore(0)
        self.finished = threading.Semaphore(0)
        self.pool = WorkerPool(self._handle, size, self.finished.release)

    def _handle(self, request: Request) -> Outcome:
        self.began.release()
        self.gate.wait(10)
        return Outcome(Settlement.ACK)

    def collect(self, count: int) -> list[Finished]:
        for _ in range(count):
            assert self.finished.acquire(timeout=10)
        return self.pool.collect()


@pytest.fixture
def bench() -> Iterator[Bench]:
    bench = Bench(size=2)
    yield bench
    bench.gate.set()
    bench.pool.stop()


def test_every_request_comes_back_with_its_outcome(bench: Bench) -> None:
    bench.gate.set()
    requests = [make_request(tag=tag) for tag in range(50)]
    for one in requests:
        bench.pool.submit(one)
    finished = bench.collect(50)
    assert {one.delivery.tag for one, _ in finished} == set(range(50))
    assert bench.pool.unfinished == 0
    assert not bench.pool.has_finished


@pytest.mark.budget("CONCURRENCY")
def test_withdraws_only_requests_that_have_not_begun(bench: Bench) -> None:
    for tag in range(5):
        bench.pool.submit(make_request(tag=tag))
    for _ in range(2):
        assert bench.began.acquire(timeout=10)
    assert not bench.began.acquire(timeout=0.1)  # a third has to wait
    assert [one.delivery.tag for one in bench.pool.withdraw()] == [2, 3, 4]
    assert bench.pool.unfinished == 2
    bench.gate.set()
    assert {one.delivery.tag for one, _ in bench.collect(2)} == {0, 1}
    assert bench.pool.unfinished == 0


def test_who_is_woken_finds_the_outcome() -> None:
    """Nobody wakes the I/O thread a second time."""
    found: list[list[Finished]] = []
    woken = threading.Event()

    def collect() -> None:
        found.append(pool.collect())
        woken.set()

    pool = WorkerPool(lambda _: Outcome(Settlement.ACK), 1, collect)
    pool.submit(make_request())
    assert woken.wait(10)
    pool.stop()
    assert [len(each) for each in found] == [1]


def test_stop_ends_the_threads() -> None:
    before = set(threading.enumerate())
    bench = Bench(size=3)
    threads = set(threading.enumerate()) - before
    assert len(threads) == 3
    bench.pool.stop()
    for thread in threads:
        thread.join(10)
        assert not thread.is_alive()
