"""What Celery keeps in Redis: tasks that arrive together, states that nobody awaits."""

import asyncio
import json
import time
from collections.abc import Iterator
from uuid import uuid4

import pytest
from celery import Celery
from pydantic import SecretStr

from app.core.config import CelerySettings
from app.core.exceptions import BrokerUnavailable
from app.infrastructure.celery import PROCESS_DATA, create_celery
from app.infrastructure.celery_redis import Channel, ResultBackend
from app.infrastructure.task_publisher import TaskMessage, TaskPublisher
from local.servers.redis import Redis


@pytest.fixture
def settings(redis_server: Redis) -> CelerySettings:
    redis_server.connect().flushall()
    url = SecretStr(redis_server.url(0))
    return CelerySettings(broker_url=url, result_backend=url)


@pytest.fixture
def celery(settings: CelerySettings) -> Iterator[Celery]:
    app = create_celery(settings)
    yield app
    app.close()


def message(priority: str = "default") -> TaskMessage:
    return TaskMessage(str(uuid4()), '{"payload": 1}', "r", "q", priority, {"x": "y"})


def state(celery: Celery, task_id: str) -> str:
    """The state, once it is not the one of unknown tasks."""
    until = time.monotonic() + 5
    while (found := str(celery.AsyncResult(task_id).state)) == "PENDING":
        assert time.monotonic() < until, "no state arrived"
    return found


async def test_what_is_published_together_arrives_whole(
    settings: CelerySettings, redis_server: Redis
) -> None:
    publisher = TaskPublisher(settings)
    sent = [message(priority) for priority in ("high", "low") for _ in range(150)]
    with redis_server.connect() as redis:
        await asyncio.gather(*(publisher.publish(each) for each in sent))
        publisher.close()
        for priority in ("high", "low"):
            found = [json.loads(text) for text in redis.lrange(priority, 0, -1)]
            ids = [each["headers"]["id"] for each in reversed(found)]
            assert ids == [each.task_id for each in sent if each.priority == priority]
            for each in found:
                assert each["headers"]["task"] == PROCESS_DATA
                assert each["headers"]["x"] == "y"
                assert each["properties"]["delivery_info"]["routing_key"] == priority
        assert not redis.pubsub_channels("*")  # nobody waits for results


async def test_a_redis_that_hangs_holds_nobody_up(
    settings: CelerySettings, redis_server: Redis
) -> None:
    publisher = TaskPublisher(settings)
    await publisher.publish(message())
    redis_server.pause()
    try:
        began = time.monotonic()
        results = await asyncio.gather(
            *(publisher.publish(message()) for _ in range(5)), return_exceptions=True
        )
        assert time.monotonic() - began < 2
    finally:
        redis_server.resume()
    assert {type(result) for result in results} == {BrokerUnavailable}
    async with asyncio.timeout(10):
        while True:
            try:
                await publisher.publish(message())
                break
            except BrokerUnavailable:
                continue
    publisher.close()


async def test_a_redis_that_is_gone_is_found_again_at_once(
    settings: CelerySettings, redis_server: Redis
) -> None:
    publisher = TaskPublisher(settings)
    await publisher.publish(message())
    redis_server.kill()
    try:
        for _ in range(3):
            began = time.monotonic()
            with pytest.raises(BrokerUnavailable, match="did not take"):
                await publisher.publish(message())
            assert time.monotonic() - began < 0.5
    finally:
        redis_server.start()
    await publisher.publish(message())
    publisher.close()


def test_a_state_is_kept_for_a_while(celery: Celery, redis_server: Redis) -> None:
    backend, task_id = celery.backend, str(uuid4())
    assert isinstance(backend, ResultBackend)
    backend.store_result(task_id, None, "STARTED")
    assert state(celery, task_id) == "STARTED"
    backend.store_result(task_id, "Success", "SUCCESS")
    while state(celery, task_id) != "SUCCESS":
        pass
    key = backend.get_key_for_task(task_id)
    assert redis_server.connect().ttl(key) > 60


def test_states_go_on_after_redis_was_away(celery: Celery, redis_server: Redis) -> None:
    celery.backend.store_result("before", None, "STARTED")
    redis_server.kill()
    try:
        for _ in range(3):
            celery.backend.store_result("meanwhile", None, "STARTED")  # lost, no error
    finally:
        redis_server.start()
    celery.backend.store_result("after", None, "STARTED")
    assert state(celery, "after") == "STARTED"


def test_an_acknowledged_message_is_forgotten(
    celery: Celery, redis_server: Redis
) -> None:
    with celery.connection_for_read() as connection, redis_server.connect() as redis:
        assert isinstance(connection.default_channel, Channel)
        queue = connection.SimpleQueue("test")
        queue.put({"a": 1})
        received = queue.get(timeout=5)
        assert (redis.hlen("unacked"), redis.zcard("unacked_index")) == (1, 1)
        received.ack()
        until = time.monotonic() + 5
        while redis.hlen("unacked") or redis.zcard("unacked_index"):
            assert time.monotonic() < until
