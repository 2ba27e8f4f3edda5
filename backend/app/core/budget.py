"""The memory budget of one process: bodies, answers, and the work on them.

*Held* bytes are refused when there are too many, so the client knows at once. *Work*
waits for its turn: a body of one megabyte takes ten or more while it is read, sent to a
service, stored and answered. *Reading* rows has a queue of its own.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from app.core.exceptions import TooBusy

# Bodies up to this many bytes and values are not counted: small requests are served
# however much is held.
SMALL, FEW = 16 * 1024, 1000
# Memory held per value, and the cost per byte and per value of work on them, in bytes
# as measured. One wide character makes its whole text wide: four bytes each.
HELD_PER_VALUE = 100
PER_BYTE, PER_WIDE_BYTE, PER_VALUE = 16, 40, 400
# Pages and task results that are read at a time, each a few megabytes at most.
READERS = 4
# Seconds that work waits for its turn.
PATIENCE = 10.0


def held_for(size: int, values: int) -> int:
    """The memory to count for a body of that many bytes and values."""
    return size + HELD_PER_VALUE * max(0, values - FEW)


def work_of(body: bytes, values: int) -> int:
    """The memory that work on a body costs, in bytes; 0 if it is small."""
    size = len(body)
    if size <= SMALL and values <= FEW:
        return 0
    is_narrow = body.isascii() and b"\\u" not in body
    return (PER_BYTE if is_narrow else PER_WIDE_BYTE) * size + PER_VALUE * values


class Budget:
    """The budget of one process: ``max_held`` bytes held, 1.5 times as many in work."""

    def __init__(self, max_held: int) -> None:
        self._max_held = max_held
        self._max_work = max_held + max_held // 2
        self.held = 0
        self.work = 0
        self._readers = asyncio.Semaphore(READERS)
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    def hold(self, size: int) -> None:
        """Count bytes as held. Raises TooBusy if that exceeds the limit."""
        if self.held + size > self._max_held:
            raise TooBusy(
                "This process has no memory left for another request of this size."
            )
        self.held += size

    def hold_anyway(self, size: int) -> None:
        """Count the bytes of an answer that is never refused: its work is done."""
        self.held += size

    def let_go(self, size: int) -> None:
        """Stop counting bytes as held."""
        self.held -= size

    async def begin(self, cost: int) -> int:
        """Wait for a turn to work; returns the value for :meth:`end`.

        Raises:
            TooBusy: there was no turn within ``PATIENCE``.
        """
        if not cost:
            return 0
        cost = min(cost, self._max_work)
        if not self._waiting and self.work + cost <= self._max_work:
            self.work += cost
            return cost
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append((cost, turn))
        try:
            async with asyncio.timeout(PATIENCE):
                await turn
        except BaseException as error:
            turn.cancel()
            if not turn.cancelled():  # its turn came at the last moment
                self.work -= cost
            self._admit()
            if isinstance(error, TimeoutError):
                raise TooBusy("Too many large requests wait to be processed.") from None
            raise
        return cost

    def end(self, cost: int) -> None:
        """End the work and free its cost."""
        self.work -= cost
        self._admit()

    def _admit(self) -> None:
        while self._waiting:
            cost, turn = self._waiting[0]
            if not turn.done():
                if self.work + cost > self._max_work:
                    return
                self.work += cost
                turn.set_result(None)
            self._waiting.popleft()  # it has its turn, or has stopped waiting

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[None]:
        """The turn to read rows that may be large.

        Raises:
            TooBusy: there was no turn within ``PATIENCE``.
        """
        try:
            async with asyncio.timeout(PATIENCE):
                await self._readers.acquire()
        except TimeoutError:
            raise TooBusy("Too many requests read large rows.") from None
        try:
            yield
        finally:
            self._readers.release()


class Account:
    """The share of the budget that one request uses."""

    def __init__(self, budget: Budget) -> None:
        self._budget = budget
        self._held = 0
        self._work = 0

    def hold(self, size: int, *, anyway: bool = False) -> None:
        """Hold that many bytes in total. Raises TooBusy, unless ``anyway``."""
        more = size - self._held
        if size <= SMALL or more <= 0:
            return
        if anyway:
            self._budget.hold_anyway(more)
        else:
            self._budget.hold(more)
        self._held = size

    async def begin(self, cost: int) -> None:
        """Wait for a turn to work on the body. Raises TooBusy."""
        self._work = await self._budget.begin(cost)

    def end(self) -> None:
        """End the work: the answer is ready."""
        self._budget.end(self._work)
        self._work = 0

    def close(self) -> None:
        """Give everything back."""
        self.end()
        self._budget.let_go(self._held)
        self._held = 0
