"""Keeps a number of calls in flight, from coroutines."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

from bench.figures import Load

PAYLOAD = {"payload": "hello world", "description": "uppercase"}
WARM_UP = 1.0  # seconds


class _Clock:
    """Latencies of the calls that begin after the warm-up and end in time."""

    def __init__(self, seconds: float) -> None:
        self._began = time.perf_counter() + WARM_UP
        self._end = self._began + seconds
        self._seconds = seconds
        self._latencies: list[float] = []

    def running(self) -> bool:
        return time.perf_counter() < self._end

    def record(self, sent: float, outcome: Any) -> None:
        if outcome["output"] != "HELLO WORLD":
            raise AssertionError(outcome)
        now = time.perf_counter()
        if sent >= self._began and now <= self._end:
            self._latencies.append(now - sent)

    def load(self) -> Load:
        return Load.of(self._latencies, self._seconds)


async def measure(
    call: Callable[[], Awaitable[Any]], in_flight: int, seconds: float
) -> Load:
    """Each of `in_flight` coroutines calls and waits, again and again."""
    clock = _Clock(seconds)

    async def work() -> None:
        while clock.running():
            sent = time.perf_counter()
            clock.record(sent, await call())

    await asyncio.gather(*(work() for _ in range(in_flight)))
    return clock.load()
