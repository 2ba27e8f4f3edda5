"""Waiting for the end of tasks."""

import asyncio
from collections.abc import Collection

import pytest

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
    async with asyncio.timeout(1):
        await watcher.wait("same", 60)
        waiting.pop().cancel()
        await asyncio.sleep(0)
        await watcher.wait("other", 0.01)
    waiting.append(asyncio.create_task(watcher.wait("other", 60)))
    await asyncio.sleep(0)
    assert not waiting[-1].done()
    for task in waiting:
        task.cancel()
