"""What leaves in one round trip, without a Redis."""

import asyncio
import threading
from contextlib import contextmanager, nullcontext
from contextvars import copy_context
from types import SimpleNamespace
from typing import Any

import pytest

from app.core.redis_settings import CelerySettings
from app.infrastructure import task_publisher as module
from app.infrastructure.celery_publishing import TidyCelery
from app.infrastructure.task_publisher import TaskMessage, TaskPublisher


def message(name: str) -> TaskMessage:
    return TaskMessage(name, "app.tasks.of.nobody", {"a": 1}, "low")


async def test_a_batch_is_bounded_and_leaves_out_who_gave_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "MAX_BATCH", 2)
    publisher = TaskPublisher(CelerySettings())
    begun, go_on, batches = asyncio.Event(), threading.Event(), list[Any]()
    loop = asyncio.get_running_loop()

    def publish_batch(batch: Any) -> None:
        batches.append([each.task_id for each, _ in batch])
        loop.call_soon_threadsafe(begun.set)
        go_on.wait(10)

    monkeypatch.setattr(publisher, "publish_batch", publish_batch)
    tasks = [asyncio.create_task(publisher.publish(message("0")))]
    await begun.wait()
    tasks += [asyncio.create_task(publisher.publish(message(n))) for n in "1234"]
    await asyncio.sleep(0)
    tasks.pop(1).cancel()
    go_on.set()
    await asyncio.gather(*tasks)
    publisher.close()
    assert batches == [["0"], ["2", "3"], ["4"]]


async def test_a_task_is_sent_once_and_nobody_waits_for_its_result(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The caller has its own time limit, and the record is the result."""
    sent: list[Any] = []
    producer = SimpleNamespace(batch=nullcontext)

    @contextmanager
    def acquire(_: Any) -> Any:
        yield producer

    monkeypatch.setattr(TidyCelery, "producer_or_acquire", acquire)
    monkeypatch.setattr(
        TidyCelery, "send_task", lambda _, *names, **options: sent.append(options)
    )
    publisher = TaskPublisher(CelerySettings())
    publisher.publish_batch([(message("t"), copy_context())])
    publisher.close()
    (options,) = sent
    assert (options["task_id"], options["queue"]) == ("t", "low")
    assert options["kwargs"] == {"a": 1} and options["producer"] is producer
    assert options["retry"] is False and options["ignore_result"] is True
