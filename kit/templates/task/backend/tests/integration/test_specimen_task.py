"""Speci men: what the task does, and when."""

import pytest

from app.core.config import Settings
from app.tasks.scheduling import beat_schedule
from app.tasks.specimen import HOUR, run_specimen


@pytest.mark.usefixtures("worker")
def test_it_does_its_work() -> None:
    assert run_specimen.apply(throw=True).get() >= 0


@pytest.mark.usefixtures("worker")
def test_beat_sends_it(settings: Settings) -> None:
    entry = beat_schedule(settings)["run_specimen"]
    assert (entry["task"], entry["schedule"]) == (run_specimen.name, HOUR)
