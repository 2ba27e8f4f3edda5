"""Tasks that a team adds are found, and have limits like the kit's own."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from app.core.redis_settings import LONGEST_RETRY_DELAY
from app.tasks.scheduling import scheduled

BACKEND = Path(__file__).parents[2]
# The modules with tasks in every project, and the one in `tests/own_tasks`.
OWN = {f"app.tasks.{name}" for name in ("data", "maintenance", "greeting")}
GREET = "app.tasks.greeting.greet"

# In a separate process: a task imported here would stay registered.
WORKER = """
import json
from tests.echo_worker import celery
names = "max_retries", "default_retry_delay", "retry_backoff_max", "time_limit"
schedule = celery.conf.beat_schedule
for entry in schedule.values():
    entry["schedule"] = str(entry["schedule"])
tasks = {
    name: {each: getattr(task, each) for each in names}
    for name, task in celery.tasks.items()
    if name.startswith("app.")
}
print(json.dumps({"schedule": schedule, "tasks": tasks}))
"""


@pytest.fixture(scope="module")
def known() -> dict[str, Any]:
    """The task names that worker and beat know."""
    run = subprocess.run(
        [sys.executable, "-c", WORKER],
        cwd=BACKEND,
        env={**os.environ, "CELERY_TASK_MAX_RETRIES": "4"},
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr
    found: dict[str, Any] = json.loads(run.stdout)
    return found


@pytest.mark.promise(
    "docs/TASKS.md", "The worker and beat import every module of `backend/app/tasks/`"
)
def test_every_module_that_defines_tasks_is_found(known: dict[str, Any]) -> None:
    assert OWN <= {name.rpartition(".")[0] for name in known["tasks"]}


@pytest.mark.promise("docs/TASKS.md", "A unit test checks that each name exists.")
def test_every_task_sent_by_name_exists(known: dict[str, Any]) -> None:
    """No endpoint imports a task, so only this test finds a wrong name: the worker just
    logs it and drops the message."""
    for path in (BACKEND / "app").rglob("*.py"):
        for name in re.findall(r'"(app\.tasks\.\w+\.\w+)"', path.read_text()):
            assert name in known["tasks"], f"{path} names {name}: there is no such task"


@pytest.mark.promise(
    "docs/TASKS.md",
    "A task that waits longer than its interval (a day, for a crontab) expires.",
)
def test_a_schedule_is_where_its_task_is(known: dict[str, Any]) -> None:
    assert known["schedule"]["greet"] == {
        "task": GREET,
        "schedule": "60.0",
        "options": {"queue": "low", "expires": 60.0},
    }
    nightly = known["schedule"]["sleep_long"]
    assert nightly["schedule"].startswith("<crontab: 0 3 ")
    assert nightly["options"] == {"queue": "default", "expires": 24 * 60 * 60}
    assert known["schedule"]["sweep"]["options"]["queue"] == "high"
    assert "prune_logs" in known["schedule"]


@pytest.mark.promise(
    "docs/TASKS.md",
    "Without `@shared_task`, worker and beat exit with a message that names the "
    "function.",
)
def test_a_function_that_is_no_task_is_named() -> None:
    with pytest.raises(
        TypeError, match=r"greet in .*tests.* write @shared_task between"
    ):

        @scheduled(lambda settings: 1)  # type: ignore[type-var]
        def greet() -> None: ...


@pytest.mark.promise(
    "docs/TASKS.md", "The time limits of [the clocks](#the-clocks) apply to every task."
)
def test_every_task_has_limits(known: dict[str, Any]) -> None:
    for name, task in known["tasks"].items():
        if name.rpartition(".")[0] not in OWN:
            continue  # a team may set other limits
        assert task["max_retries"] == (1 if name.endswith("sleep_long") else 4)
        assert task["default_retry_delay"] <= LONGEST_RETRY_DELAY
        assert task["retry_backoff_max"] <= LONGEST_RETRY_DELAY
        assert task["time_limit"] == 75
