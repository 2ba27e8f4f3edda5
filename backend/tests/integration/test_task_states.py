"""Task states in a real Redis, which may hang."""

import asyncio
import json
import time
from collections.abc import AsyncIterator

import pytest
from pydantic import SecretStr

from app.core.exceptions import BrokerUnavailable
from app.core.redis_settings import CelerySettings
from app.infrastructure.redis.task_states import TaskStates
from local.servers.redis import Redis


@pytest.fixture
async def states(redis_server: Redis) -> AsyncIterator[TaskStates]:
    with redis_server.connect(3) as redis:
        for name in ("STARTED", "RETRY"):
            redis.set(f"celery-task-meta-{name}", json.dumps({"status": name}))
    url = SecretStr(redis_server.url(3))
    states = TaskStates(CelerySettings(result_backend=url))
    yield states
    await states.close()


async def test_a_state_is_read(states: TaskStates) -> None:
    assert await states.get("STARTED") == "STARTED"
    assert await states.get("unknown") is None


async def test_a_hanging_redis_times_out(
    states: TaskStates, redis_server: Redis
) -> None:
    await states.check()
    redis_server.pause()
    try:
        began = time.monotonic()
        for ask in (states.check(), states.get("STARTED")):
            with pytest.raises(BrokerUnavailable):
                await ask
        assert time.monotonic() - began < 3
        waits = []
        for _ in range(3):
            began = time.monotonic()
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(states.get("STARTED"), timeout=0.1)
            waits.append(time.monotonic() - began)
        assert min(waits) < 0.5  # this machine may be busy at times
    finally:
        redis_server.resume()
    # No caller receives an answer to another caller's abandoned question.
    assert await states.get("RETRY") == "RETRY"
    assert await states.get("STARTED") == "STARTED"


async def test_a_restarted_redis_is_reconnected(
    states: TaskStates, redis_server: Redis
) -> None:
    await states.check()
    redis_server.kill()
    with pytest.raises(BrokerUnavailable):
        await states.check()
    redis_server.start()
    assert await states.get("STARTED") == "STARTED"
