"""Waits for the end of tasks, for any number of callers with one query."""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Collection

from app.core.exceptions import Unavailable

INTERVAL = 0.2
# Waiters per process; further callers get the current state at once.
MAX_WAITERS = 500

FindEnded = Callable[[Collection[str]], Awaitable[Collection[str]]]


class TaskWatcher:
    """Checks every ``INTERVAL`` seconds which of the awaited tasks have ended.

    A waiting caller holds neither a thread nor a database connection.
    """

    def __init__(self, find_ended: FindEnded) -> None:
        self._find_ended = find_ended
        self._awaited: defaultdict[str, set[asyncio.Event]] = defaultdict(set)
        self._watcher: asyncio.Task[None] | None = None

    async def wait(self, task_id: str, seconds: float) -> None:
        """Return when the task has ended, after ``seconds``, or at once if too many
        callers wait already."""
        if sum(map(len, self._awaited.values())) >= MAX_WAITERS:
            return
        ended = asyncio.Event()
        self._awaited[task_id].add(ended)
        if self._watcher is None:
            self._watcher = asyncio.create_task(self._watch())
        try:
            async with asyncio.timeout(seconds):
                await ended.wait()
        except TimeoutError:
            pass
        finally:
            self._awaited[task_id].discard(ended)
            if not self._awaited[task_id]:
                del self._awaited[task_id]

    async def _watch(self) -> None:
        try:
            while self._awaited:
                await asyncio.sleep(INTERVAL)
                try:
                    ended = await self._find_ended(list(self._awaited))
                except Unavailable:
                    continue  # the callers then read the state themselves
                for task_id in ended:
                    for event in self._awaited.get(task_id, ()):
                        event.set()
        finally:
            self._watcher = None
