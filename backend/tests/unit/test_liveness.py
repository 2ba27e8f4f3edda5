"""A worker's heartbeat file."""

import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from app.tasks.liveness import GRACE, sign_of_life

LIMIT = 5


@pytest.mark.parametrize(
    ("ages", "alive"),
    [
        ([], True),
        ([1, LIMIT], True),
        ([LIMIT + GRACE + 1], False),
        ([1, LIMIT + GRACE + 1], False),
    ],
)
def test_a_task_beyond_its_limit_means_a_hung_child(
    tmp_path: Path, ages: list[float], alive: bool
) -> None:
    running = [SimpleNamespace(time_start=time.time() - age) for age in ages]
    running.append(SimpleNamespace(time_start=None))  # received, not begun
    sign_of_life(tmp_path / "alive", LIMIT, lambda: running)()
    assert (tmp_path / "alive").exists() == alive
