"""A collector that does not answer costs nothing.

This file's name makes it the last one with a traced stack, because it stops that stack.
"""

import json
import statistics
import time
from concurrent.futures import ThreadPoolExecutor

import psutil
import pytest

from local.servers.base import Server
from local.stack import each
from tests.e2e.client import PROCESS, PROCESS_ASYNC
from tests.integration.conftest import EACH_PROTOCOL, Traced

# Between the requests of a caller: what a collector costs shows without a full machine.
PAUSE = 0.05


@pytest.mark.promise(
    "SEQUENCE-DIAGRAMS.md", "If the collector is down, nothing blocks."
)
@EACH_PROTOCOL
def test_a_hanging_collector_costs_nothing(traced: Traced) -> None:
    """Seven seconds show what happens to a batch: it is given up after five."""
    with traced.receiver.hanging():
        assert_costs_nothing(traced, seconds=7)
        assert_stops_in_time(traced)


@pytest.mark.chaos
@pytest.mark.timeout(300)  # a Collector is away for a minute
def test_a_collector_that_is_gone_for_a_minute(traced: Traced) -> None:
    traced.receiver.__exit__(None, None, None)
    traced.stack.start()  # another test may have stopped it
    assert_costs_nothing(traced, seconds=60)
    assert_stops_in_time(traced)


def assert_costs_nothing(traced: Traced, seconds: float) -> None:
    load(traced, seconds=1)
    processes = [
        process
        for app in [*traced.stack.apis, *traced.stack.services]
        for process in tree(app.pid)
    ]
    before, cost = measure(traced, processes, seconds=2)
    memory = resident(processes)
    during, cost_during = measure(traced, processes, seconds)
    grown = resident(processes) - memory
    # Other work on this machine slows requests down. A request that waits for a
    # collector takes seconds, and other costs show in the processor time.
    assert during < 1.5 * before + 0.25
    assert cost_during < 1.5 * cost
    assert grown < 40e6 * len(processes)


def measure(
    traced: Traced, processes: list[psutil.Process], seconds: float
) -> tuple[float, float]:
    """The median time of a request under load, and its processor time."""
    began = spent(processes)
    times = load(traced, seconds)
    alive = [process.is_running() for process in processes]
    assert all(alive), traced.log("api")[-5000:]
    return statistics.median(times), (spent(processes) - began) / len(times)


def assert_stops_in_time(traced: Traced) -> None:
    def stop(process: Server) -> None:
        began = time.monotonic()
        process.stop()
        assert time.monotonic() - began < 9, process.name

    each(stop, traced.stack.processes)


def load(traced: Traced, seconds: float) -> list[float]:
    """Times of requests by four callers; every request must succeed."""
    until = time.monotonic() + seconds
    body = json.dumps({"payload": "x" * 50}).encode()

    def send(number: int) -> list[float]:
        times: list[float] = []
        while (began := time.monotonic()) < until:
            # Only a few tasks, because the next test inherits those that are not done.
            path = PROCESS if number or len(times) % 25 else PROCESS_ASYNC
            answer = traced.api.send(path, body)
            assert answer.status_code in (200, 202), answer.text
            times.append(time.monotonic() - began)
            time.sleep(PAUSE)
        return times

    with ThreadPoolExecutor(4) as pool:
        return [x for times in pool.map(send, range(4)) for x in times]


def tree(pid: int) -> list[psutil.Process]:
    process = psutil.Process(pid)
    return [process, *process.children(recursive=True)]


def resident(processes: list[psutil.Process]) -> int:
    return sum(process.memory_info().rss for process in processes)


def spent(processes: list[psutil.Process]) -> float:
    """The processor time in seconds."""
    return sum(sum(process.cpu_times()[:2]) for process in processes)
