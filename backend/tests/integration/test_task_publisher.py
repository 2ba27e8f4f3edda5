"""How the API publishes tasks: in batches, on time, each in its own context."""

import asyncio
import json
import time
from base64 import b64decode
from contextlib import ExitStack
from contextvars import ContextVar
from datetime import date
from typing import Any
from uuid import uuid4

import pytest
from celery import current_app
from celery.signals import after_task_publish, before_task_publish
from pydantic import SecretStr

from app.core.exceptions import BrokerUnavailable
from app.core.redis_settings import CelerySettings
from app.infrastructure import task_publisher
from app.infrastructure.celery import PROCESS_DATA
from app.infrastructure.task_publisher import (
    TaskMessage,
    TaskPublisher,
    accepted_work,
)
from local.servers.redis import Redis


@pytest.fixture
def settings(redis_server: Redis) -> CelerySettings:
    redis_server.connect().flushall()
    url = SecretStr(redis_server.url(0))
    return CelerySettings(broker_url=url, result_backend=url)


def message(priority: str = "default") -> TaskMessage:
    return accepted_work(str(uuid4()), '{"payload": 1}', "r", "q", priority)


@pytest.mark.promise("docs/TASKS.md", "Tasks are published in batches.")
async def test_a_batch_arrives_complete(
    settings: CelerySettings, redis_server: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(task_publisher, "TIMEOUT", 30.0)  # of several batches
    publisher = TaskPublisher(settings)
    sent = [message(priority) for priority in ("high", "low") for _ in range(150)]
    with redis_server.connect() as redis:
        await asyncio.gather(*(publisher.publish(each) for each in sent))
        publisher.close()
        for priority in ("high", "low"):
            found = [json.loads(text) for text in redis.lrange(priority, 0, -1)]
            ids = [each["headers"]["id"] for each in reversed(found)]
            assert ids == [each.task_id for each in sent if each.queue == priority]
            for each in found:
                assert each["headers"]["task"] == PROCESS_DATA
                assert each["properties"]["delivery_info"]["routing_key"] == priority
        assert not redis.pubsub_channels("*")  # no caller waits for results


async def test_a_task_of_a_team_is_sent_by_its_name(
    settings: CelerySettings, redis_server: Redis
) -> None:
    publisher = TaskPublisher(settings)
    day = date(2026, 1, 2)
    sent = await publisher.send("app.tasks.report.run", {"day": day}, queue="low")
    await publisher.send("app.tasks.report.run")
    publisher.close()
    with redis_server.connect() as redis:
        (low,), (default,) = (redis.lrange(q, 0, -1) for q in ("low", "default"))
    message = json.loads(low)
    assert message["headers"]["id"] == sent
    assert message["headers"]["task"] == "app.tasks.report.run"
    assert message["headers"]["kwargsrepr"] == "{}"  # no argument in any log
    positional, named, _ = json.loads(b64decode(message["body"]))
    assert (positional, named) == ([], {"day": "2026-01-02"})
    assert json.loads(default)["headers"]["id"] != sent


async def test_invalid_arguments_fail_their_sender_only(
    settings: CelerySettings,
) -> None:
    publisher = TaskPublisher(settings)
    with pytest.raises(ValueError, match="serialize"):
        await publisher.send("app.tasks.report.run", {"what": object()})
    other: Any = "urgent"
    with pytest.raises(ValueError, match="urgent"):
        await publisher.send("app.tasks.report.run", queue=other)
    publisher.close()


@pytest.mark.promise(
    "docs/TASKS.md",
    "A broker that is down or hangs delays the response by at most a second",
)
async def test_a_hanging_redis_delays_no_caller(
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


async def test_the_publisher_reconnects_to_redis_at_once(
    settings: CelerySettings, redis_server: Redis
) -> None:
    publisher = TaskPublisher(settings)
    await publisher.publish(message())
    redis_server.kill()
    try:
        waits = []
        for _ in range(3):
            began = time.monotonic()
            with pytest.raises(BrokerUnavailable, match="did not take"):
                await publisher.publish(message())
            waits.append(time.monotonic() - began)
        assert min(waits) < 0.5  # this machine may be busy at times
    finally:
        redis_server.start()
    await publisher.publish(message())
    publisher.close()


async def test_each_is_published_in_the_context_of_its_request(
    settings: CelerySettings,
) -> None:
    """Instrumentations of Celery need this: they use signals of a registered task."""
    request: ContextVar[str] = ContextVar("request")
    seen: list[tuple[str, str]] = []

    def on_publish(sender: str, headers: dict[str, str], **_: Any) -> None:
        assert current_app.tasks[sender].name == sender
        seen.append((headers["id"], request.get()))

    async def publish(number: int) -> tuple[str, str]:
        request.set(f"request {number}")
        if number % 2:
            return await publisher.send("app.tasks.report.run"), request.get()
        sent = message()
        await publisher.publish(sent)
        return sent.task_id, request.get()

    publisher = TaskPublisher(settings)
    with ExitStack() as connected:
        for each in (before_task_publish, after_task_publish):
            each.connect(on_publish)
            connected.callback(each.disconnect, on_publish)
        sent = await asyncio.gather(*(publish(number) for number in range(20)))
    publisher.close()
    assert sorted(seen) == sorted(2 * sent)
