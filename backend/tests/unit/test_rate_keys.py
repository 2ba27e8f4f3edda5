"""What the shared counter is asked, and what callers are told."""

import asyncio

import pytest

from app.core import rate_limits
from app.core.rate_limit_settings import RatePolicy
from app.core.rate_limits import RateLimits
from tests.unit.test_rate_limits import Clock, SharedCounter, process, take


async def test_a_caller_is_told_of_what_its_process_has_reserved() -> None:
    limits = process(SharedCounter(), 100)
    found = [await take(limits) for _ in range(3)]
    assert [each.left for each in found] == [99, 98, 97]


async def test_the_counter_gets_neither_names_nor_keys_that_live_for_ever() -> None:
    asked = []

    async def add(key: str, seconds: int, amount: int) -> int:
        asked.append((key, seconds))
        return amount

    clock = Clock()
    limits = RateLimits({"read": RatePolicy("read", 1, 60)}, add, clock)
    lone = chr(0xD800)  # no text for UTF-8
    for caller in ("alice", lone):
        await take(limits, caller)
        clock.now += 60
        await take(limits, caller)
    keys = [key for key, _ in asked]
    assert len({*keys}) == 4  # one for each caller and window
    for key, seconds in asked:
        name, window, number, digest = key.split(":")
        assert (name, window, seconds) == ("read", "60", 60)
        assert number.isdecimal() and len(digest) == 64
    assert int(keys[1].split(":")[2]) == int(keys[0].split(":")[2]) + 1


async def test_a_caller_that_is_back_is_not_the_next_to_be_forgotten(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(rate_limits, "MAX_CALLERS", 3)
    clock, counter = Clock(), SharedCounter()
    limits = process(counter, 100, clock=clock)
    for caller in ("alice", "bob"):
        await take(limits, caller)
    clock.now += 60
    for caller in ("alice", "carol", "dave"):
        await take(limits, caller)
    asked = counter.questions
    await take(limits, "alice")
    assert counter.questions == asked


async def test_nothing_is_reserved_for_a_request_whose_client_has_left() -> None:
    asked: list[int] = []
    answers = asyncio.Event()

    async def add(key: str, seconds: int, amount: int) -> int:
        asked.append(amount)
        await answers.wait()
        return amount

    limits = RateLimits({"read": RatePolicy("read", 10, 60)}, add, Clock())
    leaving = asyncio.create_task(take(limits))
    await asyncio.sleep(0)
    leaving.cancel()
    await asyncio.gather(leaving, return_exceptions=True)
    answers.set()
    await take(limits)
    assert asked == [1, 1]
