"""What one process holds for its clients: bodies, answers, and what it makes of them.

What is *held* is refused when it is too much: a client is told at once. What is *worked
on* waits for its turn: a body of a megabyte is ten and more while it is read, sent to a
service, stored and answered. Rows that are *read* wait for theirs apart from that.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from app.core.exceptions import TooBusy

# Bytes and values of a body that passes without counting: small requests are served
# however much is held.
SMALL, FEW = 16 * 1024, 1000
# What a value is held as, and what a byte and a value cost while they are worked on, in
# bytes as measured. One wide character makes all of its text wide, four bytes each.
HELD_PER_VALUE = 100
PER_BYTE, PER_WIDE_BYTE, PER_VALUE = 16, 40, 400
# Pages and results of tasks that are read at a time, each of some megabytes at most.
READERS = 4
# Seconds for which work waits for its turn.
PATIENCE = 10.0


def held_for(size: int, values: int) -> int:
    """What a body of so many bytes and values is held as."""
    return size + HELD_PER_VALUE * max(0, values - FEW)


def work_of(body: bytes, values: int) -> int:
    """Bytes that it costs while it is worked on; 0 if it is small."""
    size = len(body)
    if size <= SMALL and values <= FEW:
        return 0
    is_narrow = body.isascii() and b"\\u" not in body
    return (PER_BYTE if is_narrow else PER_WIDE_BYTE) * size + PER_VALUE * values


class Budget:
    """Of one process. ``max_held`` bytes are held, 1.5 times as many worked on."""

    def __init__(self, max_held: int) -> None:
        self._max_held = max_held
        self._max_work = max_held + max_held // 2
        self.held = 0
        self.work = 0
        self._readers = asyncio.Semaphore(READERS)
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    def hold(self, size: int) -> None:
        """Count bytes that are held. Raises TooBusy if that makes too many."""
        if self.held + size > self._max_held:
            raise TooBusy("This process holds as many bytes as it may.")
        self.held += size

    def hold_anyway(self, size: int) -> None:
        """Count bytes of an answer that is not refused any more: its work is done."""
        self.held += size

    def let_go(self, size: int) -> None:
        """They are held no longer."""
        self.held -= size

    async def begin(self, cost: int) -> int:
        """Wait for the turn of some work; what to give to :meth:`end`.

        Raises:
            TooBusy: it does not come within ``PATIENCE``.
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
            if not turn.cancelled():  # it has come all the same
                self.work -= cost
            self._admit()
            if isinstance(error, TimeoutError):
                raise TooBusy("Too much waits to be worked on.") from None
            raise
        return cost

    def end(self, cost: int) -> None:
        """The work is done."""
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
            self._waiting.popleft()  # it has its turn, or waits no longer

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[None]:
        """The turn to read rows that may be large.

        Raises:
            TooBusy: it does not come within ``PATIENCE``.
        """
        try:
            async with asyncio.timeout(PATIENCE):
                await self._readers.acquire()
        except TimeoutError:
            raise TooBusy("Too many read large rows.") from None
        try:
            yield
        finally:
            self._readers.release()


class Account:
    """What one request has of the budget."""

    def __init__(self, budget: Budget) -> None:
        self._budget = budget
        self._held = 0
        self._work = 0

    def hold(self, size: int, *, anyway: bool = False) -> None:
        """Hold that many bytes in all. Raises TooBusy, unless ``anyway``."""
        more = size - self._held
        if size <= SMALL or more <= 0:
            return
        if anyway:
            self._budget.hold_anyway(more)
        else:
            self._budget.hold(more)
        self._held = size

    async def begin(self, cost: int) -> None:
        """Wait until it may be worked on. Raises TooBusy."""
        self._work = await self._budget.begin(cost)

    def end(self) -> None:
        """The work is done: its answer is there."""
        self._budget.end(self._work)
        self._work = 0

    def close(self) -> None:
        """Give all back."""
        self.end()
        self._budget.let_go(self._held)
        self._held = 0
