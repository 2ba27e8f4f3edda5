"""Rate limits of several API processes over a real Redis."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from uuid import uuid4

import pytest

from app.core.rate_limit_settings import RatePolicy
from app.core.rate_limits import RateLimits, Verdict
from app.infrastructure.redis import request_counts
from app.infrastructure.redis.request_counts import RequestCounts
from local.ports import free_port
from local.servers.redis import KeysRedis, Redis
from local.state import State

AMOUNT = 50
POLICIES = {"read": RatePolicy("read", AMOUNT, 3600)}

Connect = Callable[[], RateLimits]


@pytest.fixture
async def connect(redis_server: Redis) -> AsyncIterator[Connect]:
    async with AsyncExitStack() as stack:

        def connect() -> RateLimits:
            counts = RequestCounts(redis_server.url(3), "shop:")
            stack.push_async_callback(counts.close)
            return RateLimits(POLICIES, counts.add)

        yield connect


@pytest.fixture
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """For tests with a Redis that answers: on a busy machine it may take long."""
    monkeypatch.setattr(request_counts, "TIMEOUT", 10.0)


@pytest.fixture
def caller() -> str:
    return uuid4().hex


async def take(limits: RateLimits, caller: str) -> Verdict:
    verdict = await limits.take("read", caller)
    assert verdict is not None
    return verdict


async def passed(limits: RateLimits, caller: str, requests: int) -> int:
    found = await asyncio.gather(*(take(limits, caller) for _ in range(requests)))
    return sum(verdict.may_pass for verdict in found)


@pytest.mark.promise("docs/SECURITY.md", "Redis stores neither subjects nor addresses")
@pytest.mark.promise("docs/BUDGETS.md", "All API processes share the count.")
async def test_processes_share_one_count(
    connect: Connect, caller: str, redis_server: Redis, patience: None
) -> None:
    processes = [connect() for _ in range(3)]
    found = await asyncio.gather(*(passed(each, caller, 40) for each in processes))
    assert sum(found) == AMOUNT
    assert await passed(connect(), caller, 5) == 0
    with redis_server.connect(3) as redis:
        keys = redis.keys("*")
        assert keys and all(key.startswith(b"shop:rate-limit:read:") for key in keys)
        assert not any(caller.encode() in key for key in keys)


async def test_keys_expire(
    connect: Connect, redis_server: Redis, patience: None
) -> None:
    with redis_server.connect(3) as redis:
        redis.flushdb()
        limits = connect()
        for number in range(200):
            await take(limits, f"one of many {number}")
        lives = [redis.ttl(key) for key in redis.keys("*")]
        assert len(lives) == 200
        assert all(3500 < seconds <= 3600 for seconds in lives)


@pytest.mark.promise("docs/BUDGETS.md", "Without Redis, each process counts alone")
@pytest.mark.parametrize("break_it", ["stop", "kill", "pause"])
async def test_without_redis_each_process_counts(
    connect: Connect,
    caller: str,
    redis_server: Redis,
    break_it: str,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(request_counts, "PAUSE", 0.05)
    one, other = connect(), connect()
    assert await passed(one, caller, 20) == 20
    await asyncio.to_thread(getattr(redis_server, break_it))
    caplog.set_level(logging.WARNING)
    try:
        began = time.monotonic()
        assert await passed(one, caller, 100) == AMOUNT - 20
        assert await passed(other, caller, 100) == AMOUNT
        # Two waits of 0.25 s, and 200 requests on a busy machine.
        assert time.monotonic() - began < 4
        for number in range(10):
            await take(one, f"{caller} {number}")
    finally:
        redis_server.resume()
        await asyncio.to_thread(redis_server.start)
    losses = [r for r in caplog.records if "counts requests" in r.getMessage()]
    assert len(losses) == 2  # one for each of the two processes

    async with asyncio.timeout(10):  # it comes back by itself, with what it missed
        while await passed(connect(), caller, 1) or "again" not in caplog.text:
            await take(one, uuid4().hex)
            await asyncio.sleep(0.05)


async def test_while_redis_is_gone_few_requests_wait(
    connect: Connect, redis_server: Redis
) -> None:
    limits = connect()
    await take(limits, "warm")
    await asyncio.to_thread(redis_server.pause)
    try:
        began = time.monotonic()
        for number in range(50):
            await take(limits, f"caller {number}")
        assert time.monotonic() - began < 4  # 12.5 s if each of them waited
    finally:
        redis_server.resume()


@pytest.mark.promise("docs/BUDGETS.md", "A full Redis refuses nobody")
async def test_a_full_redis_refuses_nobody(state: State, caller: str) -> None:
    server = KeysRedis(state, free_port(), maxmemory="2mb", name="full")
    await asyncio.to_thread(server.start)
    counts = RequestCounts(server.url())
    try:
        with server.full():
            assert await counts.add(caller, 60, 1) is None
            limits = RateLimits(POLICIES, counts.add)
            assert await passed(limits, caller, 100) == AMOUNT
    finally:
        await counts.close()
        await asyncio.to_thread(server.kill)
