"""One client's stream of events: each one once, in order, from the table at first and
then from the feed of the process."""

import asyncio
import random
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from app.core.exceptions import Unavailable
from app.models.event_types import DELETED, FAILED, SUCCEEDED
from app.repositories.event_repository import EventFilter

# What waits for a client that reads more slowly than events happen. A client beyond
# that is dropped: it comes back, and reads the rest from the table.
MAX_WAITING = 1000
MAX_WAITING_BYTES = 4 * 1024 * 1024

# Seconds until the next attempt while PostgreSQL is away.
RETRY = 1.0

#: The events after which nothing more happens to a record.
FINAL = (SUCCEEDED.name, FAILED.name, DELETED.name)


@dataclass(eq=False, slots=True)
class FeedEvent:
    """All streams share it. ``encoded`` is what the edge sends, as soon as one has
    encoded it; ``holders`` are the streams in which it waits."""

    sequence: int
    type: str
    subject: str
    owner: str | None
    text: str
    encoded: bytes | None = None
    holders: int = 0
    size: int = field(init=False)

    def __post_init__(self) -> None:
        self.size = len(self.text)


class Closing(NamedTuple):
    """Why a stream ends. ``retry_seconds`` is when to come back; None for never."""

    code: str
    detail: str
    retry_seconds: float | None = None


def ended() -> Closing:
    """The record's last event is sent."""
    return Closing("ended", "This was the last event of the record.")


def slow_client() -> Closing:
    """Too much waits."""
    detail = "Events happened faster than you read them: go on from the last one."
    return Closing("slow_client", detail, random.uniform(1, 3))  # nosec: jitter


def shutting_down() -> Closing:
    """Clients of one process do not return all at once."""
    detail = "This process stops: go on with another one."
    return Closing("shutting_down", detail, random.uniform(0.5, 3))  # nosec: jitter


def time_limit() -> Closing:
    """The token may have expired meanwhile."""
    detail = "The stream is as old as it may become: go on with a new one."
    return Closing("time_limit", detail, random.uniform(0.1, 1))  # nosec: jitter


class WaitingBytes:
    """The bytes of all events that wait in this process; a shared one counts once."""

    def __init__(self, most: int) -> None:
        self._most = most
        self.size = 0

    @property
    def is_full(self) -> bool:
        """Whether nothing more should be read."""
        return self.size >= self._most

    def add(self, event: FeedEvent) -> None:
        """One more stream holds it."""
        if not event.holders:
            self.size += event.size
        event.holders += 1

    def remove(self, event: FeedEvent) -> None:
        """One stream less holds it."""
        event.holders -= 1
        if not event.holders:
            self.size -= event.size


ReadPage = Callable[[int, EventFilter], Awaitable[Sequence[FeedEvent]]]


class EventStream:
    """It joins the feed before it reads the table: so nothing is missed where the two
    meet, and what both have is skipped.

    ``position`` is the sequence up to which it has everything. ``closing`` says why it
    has ended.
    """

    def __init__(
        self,
        wanted: EventFilter,
        *,
        position: int,
        is_live: bool,
        feed_position: Callable[[], int],
        read_page: ReadPage,
        held: WaitingBytes,
        seconds: float,
    ) -> None:
        # After the last event of a record the stream ends, also if it shows others.
        self._shown = wanted.type
        self.wanted = wanted if wanted.subject is None else replace(wanted, type=None)
        self.position = position
        self.closing: Closing | None = None
        self._is_live = is_live
        self._feed_position = feed_position
        self._read_page = read_page
        self._held = held
        #: What the feed has pushed, if the stream has joined it.
        self._pushed: deque[FeedEvent] = deque()
        self._pushed_bytes = 0
        #: Where the feed was when the stream joined it.
        self._joined_at: int | None = position if is_live else None
        self._page: deque[FeedEvent] = deque()
        self._taken: FeedEvent | None = None
        self._changed = asyncio.Event()
        self._deadline = asyncio.get_running_loop().time() + seconds

    @property
    def waiting_bytes(self) -> int:
        """The bytes that wait for the client."""
        return self._pushed_bytes

    def push(self, event: FeedEvent) -> None:
        """The feed's next wanted event. Never waits."""
        if self._joined_at is None or event.sequence <= self.position or self.closing:
            return
        size = self._pushed_bytes + event.size
        if self._pushed and (
            len(self._pushed) >= MAX_WAITING or size > MAX_WAITING_BYTES
        ):
            self.overflow()
            return
        self._held.add(event)
        self._pushed.append(event)
        self._pushed_bytes = size
        self._changed.set()

    def overflow(self) -> None:
        """Keep nothing. A stream that still reads the table joins the feed later."""
        self._drop_pushed()
        self._joined_at = None
        if self._is_live:
            self.close(slow_client())

    def close(self, closing: Closing) -> None:
        """End the stream; what waits is dropped."""
        if self.closing is None:
            self.closing = closing
            self._changed.set()

    def release(self) -> None:
        """Hold nothing any more."""
        self._release_taken()
        self._drop_pushed()
        while self._page:
            self._held.remove(self._page.popleft())

    async def next(self, seconds: float) -> FeedEvent | None:
        """The next event, which is held until the next call. None if there is none in
        so many seconds, and when the stream has ended."""
        self._release_taken()
        loop = asyncio.get_running_loop()
        until = min(loop.time() + seconds, self._deadline)
        while self.closing is None:
            if loop.time() >= self._deadline:
                self.close(time_limit())
            elif event := self._pop():
                self._take(event)
                if self._shown in (None, event.type):
                    return event
                self._release_taken()
            elif loop.time() >= until:
                return None
            elif self._is_live:
                await self._wait(until)
            else:
                await self._read(until)
        return None

    def _take(self, event: FeedEvent) -> None:
        self.position = event.sequence
        self._taken = event
        if self.wanted.subject is not None and event.type in FINAL:
            self.close(ended())

    def _release_taken(self) -> None:
        if self._taken is not None:
            self._held.remove(self._taken)
            self._taken = None

    def _drop_pushed(self) -> None:
        while self._pushed:
            self._held.remove(self._pushed.popleft())
        self._pushed_bytes = 0

    def _pop(self) -> FeedEvent | None:
        if self._page:
            return self._page.popleft()
        while self._is_live and self._pushed:
            event = self._pushed.popleft()
            self._pushed_bytes -= event.size
            if event.sequence > self.position:
                return event
            self._held.remove(event)  # the table had it, too
        return None

    async def _wait(self, until: float) -> None:
        self._changed.clear()
        try:
            async with asyncio.timeout_at(until):
                await self._changed.wait()
        except TimeoutError:
            pass

    async def _read(self, until: float) -> None:
        """Read the next page, and find out whether the feed has all the rest."""
        if self._held.is_full:
            await self._pause(until)
            return
        if self._joined_at is None:
            self._joined_at = self._feed_position()
        try:
            page = await self._read_page(self.position, self.wanted)
        except Unavailable:
            await self._pause(until)
            return
        for event in page:
            self._held.add(event)
            self._page.append(event)
        if self._joined_at is not None:  # else too much was pushed meanwhile
            self._is_live = not page or page[-1].sequence >= self._joined_at

    async def _pause(self, until: float) -> None:
        now = asyncio.get_running_loop().time()
        await self._wait(min(until, now + RETRY))
