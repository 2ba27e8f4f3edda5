"""Speci men: the work of the task, and its schedule."""

import json
from typing import Any

import pytest

from app.core.config import Settings
from app.infrastructure.task_publisher import TaskPublisher
from app.tasks.scheduling import beat_schedule
from app.tasks.specimen import HOUR, run_specimen


@pytest.mark.usefixtures("worker")
def test_it_does_its_work() -> None:
    assert run_specimen.apply(throw=True).get() >= 0


async def test_others_send_it(settings: Settings, redis: Any) -> None:
    publisher = TaskPublisher(settings.celery)
    task_id = await publisher.send("app.tasks.specimen.run_specimen", queue="low")
    publisher.close()
    (message,) = map(json.loads, redis.lrange("low", 0, -1))
    sent = message["headers"]
    assert (sent["id"], sent["task"]) == (task_id, run_specimen.name)


@pytest.mark.usefixtures("worker")
def test_beat_sends_it(settings: Settings) -> None:
    entry = beat_schedule(settings)["run_specimen"]
    assert (entry["task"], entry["schedule"]) == (run_specimen.name, HOUR)
