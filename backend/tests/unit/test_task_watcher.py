"""Waiting for the end of tasks."""

import asyncio
from collections.abc import Collection

import pytest

from app.core.exceptions import DatabaseUnavailable
from app.services import task_watcher
from app.services.task_watcher import TaskWatcher


async def never(_: Collection[str]) -> Collection[str]:
    return ()


@pytest.mark.budget("task_watcher.MAX_WAITERS")
async def test_waiters_are_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    """One waiter too many gets an answer at once. When one leaves, there is room
    again."""
    monkeypatch.setattr(task_watcher, "MAX_WAITERS", 2)
    watcher = TaskWatcher(never)
    waiting = [asyncio.create_task(watcher.wait("same", 60)) for _ in range(2)]
    await asyncio.sleep(0)
    async with asyncio.timeout(10):
        await watcher.wait("same", 60)
        waiting.pop().cancel()
        await asyncio.sleep(0)
        await watcher.wait("other", 0.01)
    waiting.append(asyncio.create_task(watcher.wait("other", 60)))
    await asyncio.sleep(0)
    assert not waiting[-1].done()
    for task in waiting:
        task.cancel()


@pytest.mark.promise(
    "docs/TASKS.md", "With `?wait=SECONDS` (at most 30) it responds when the work ends"
)
async def test_a_database_error_ends_no_waiting(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """All who wait for one task hear of its end, and so does who comes later."""
    monkeypatch.setattr(task_watcher, "INTERVAL", 0)
    asked = 0

    async def find(task_ids: Collection[str]) -> Collection[str]:
        nonlocal asked
        asked += 1
        if asked < 4:
            raise DatabaseUnavailable("It restarts.")
        return task_ids

    watcher = TaskWatcher(find)
    async with asyncio.timeout(10):
        await asyncio.gather(*(watcher.wait("same", 60) for _ in range(30)))
        assert 4 <= asked < 10  # one answer is for all
        await watcher.wait("later", 60)


@pytest.mark.promise("docs/TASKS.md", "Waiting clients share one query every 0.2 s")
async def test_nobody_asks_when_nobody_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(task_watcher, "INTERVAL", 0)
    asked: list[set[str]] = []

    async def find(task_ids: Collection[str]) -> Collection[str]:
        asked.append(set(task_ids))
        return ()

    watcher = TaskWatcher(find)
    await asyncio.gather(*(watcher.wait(name, 0.02) for name in ("a", "b")))
    assert asked and all(each <= {"a", "b"} for each in asked)
    assert {"a", "b"} in asked  # one question for both
    await asyncio.sleep(0)
    count = len(asked)
    await asyncio.sleep(0.02)
    assert len(asked) <= count + 1
