"""What the shared counter is asked, and what callers are told."""

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
