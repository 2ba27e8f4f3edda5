"""Hands what happens to all streams of this process: from the exchange, and from the
table whenever that has told too little."""

import asyncio
import logging
import threading
from collections import Counter, defaultdict, deque
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

from app.core.exceptions import TooBusy, TooManyStreams, Unavailable
from app.repositories.event_repository import EventFilter, StoredEvent
from app.services.event_sources import Listener, NewListener, ReadableLog
from app.services.event_stream import (
    EventStream,
    FeedEvent,
    WaitingBytes,
    shutting_down,
)
from chassis.events.published import PublishedEvent

logger = logging.getLogger(__name__)

# Seconds without an event from the exchange, after which the feed reads the table:
# RabbitMQ or the relay may be away.
INTERVAL = 1.0
# Seconds that the feed goes on without a stream: pages are loaded again.
LINGER = 10.0
# A page of the table.
PAGE, PAGE_BYTES = 100, 64 * 1024
# The feed's own pages serve all streams.
FEED_PAGE_BYTES = 1024 * 1024
# What arrived and is not handed on yet. Beyond that it is dropped, and read again.
MAX_ARRIVED, MAX_ARRIVED_BYTES = 10_000, 16 * 1024 * 1024
# The bytes of all events that wait for clients in one process.
MAX_HELD_BYTES = 32 * 1024 * 1024
# Events, or bytes, after which streams get their turn to send.
TURN, TURN_BYTES = 100, 64 * 1024


class EventFeed:
    """One per process; it runs while streams are open.

    ``position`` is the sequence up to which it has handed on everything. An event of
    the exchange names the one before it, so the feed knows when it has missed some.

    Args:
        source: of the CloudEvents that it makes of the table's rows.
        new_listener: None if nothing publishes events.
        max_streams: open streams of this process, and of each caller.
        stream_seconds: the age at which a stream ends.
    """

    def __init__(
        self,
        log: ReadableLog,
        source: str,
        new_listener: NewListener | None,
        *,
        max_streams: int,
        max_of_caller: int,
        stream_seconds: float,
    ) -> None:
        self._log = log
        self._source = source
        self._new_listener = new_listener
        self._max_streams = max_streams
        self._max_of_caller = max_of_caller
        self._stream_seconds = stream_seconds
        self.position = -1
        self._held = WaitingBytes(MAX_HELD_BYTES)
        self._callers: Counter[str] = Counter()
        #: By what they want: an event finds its streams without asking all.
        self._streams: defaultdict[EventFilter, set[EventStream]] = defaultdict(set)
        self._is_stopping = False
        self._starting = asyncio.Lock()
        self._runner: asyncio.Task[None] | None = None
        self._listener: Listener | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._lock = threading.Lock()
        self._arrived: deque[PublishedEvent] = deque()
        self._arrived_bytes = 0
        self._has_arrived = asyncio.Event()

    @property
    def open_streams(self) -> int:
        """How many clients listen."""
        return self._callers.total()

    @property
    def held_bytes(self) -> int:
        """The bytes of events that wait for clients."""
        return self._held.size

    @asynccontextmanager
    async def open(
        self, caller: str, wanted: EventFilter, after: int | None
    ) -> AsyncIterator[EventStream]:
        """A stream of the wanted events after that sequence; None for those from now
        on.

        Raises:
            TooManyStreams: of this caller.
            TooBusy: of this process; or it is stopping.
            DatabaseUnavailable: this is the first stream, and PostgreSQL is away.
        """
        self._admit(caller)
        try:
            await self._start()
            stream = EventStream(
                wanted,
                position=self.position if after is None else after,
                is_live=after is None,
                feed_position=lambda: self.position,
                read_page=self._read_page,
                held=self._held,
                seconds=self._stream_seconds,
            )
            key = stream.wanted
            self._streams[key].add(stream)
            if self._is_stopping:
                stream.close(shutting_down())
            try:
                yield stream
            finally:
                self._streams[key].discard(stream)
                if not self._streams[key]:
                    del self._streams[key]
                stream.release()
        finally:
            self._callers[caller] -= 1
            if not self._callers[caller]:
                del self._callers[caller]

    def _admit(self, caller: str) -> None:
        if self._is_stopping:
            raise TooBusy("This process is stopping.")
        if self._callers[caller] >= self._max_of_caller:
            most = self._max_of_caller
            raise TooManyStreams(f"You have {most} streams open, the most allowed.", 5)
        if self.open_streams >= self._max_streams:
            raise TooBusy("This process has no room for another stream.")
        self._callers[caller] += 1

    async def _start(self) -> None:
        async with self._starting:
            if self._runner is not None:
                return
            self.position = await self._log.end()
            self._loop = asyncio.get_running_loop()
            if self._new_listener is not None:
                self._listener = self._new_listener(self._arrive)
                self._listener.start()
            self._runner = asyncio.create_task(self._run())

    def stop(self) -> None:
        """End all streams, and accept no more."""
        self._is_stopping = True
        for stream in list(self._all()):
            stream.close(shutting_down())

    async def close(self) -> None:
        """End everything."""
        self.stop()
        if self._runner is not None:
            self._runner.cancel()
            await asyncio.gather(self._runner, return_exceptions=True)
        if self._listener is not None:
            await asyncio.to_thread(self._listener.join)

    def _all(self) -> Iterable[EventStream]:
        return (each for group in self._streams.values() for each in group)

    async def _read_page(self, after: int, wanted: EventFilter) -> list[FeedEvent]:
        rows = await self._log.read(after, PAGE, wanted, PAGE_BYTES)
        return [self._of_row(row) for row in rows]

    def _of_row(self, row: StoredEvent) -> FeedEvent:
        text = row.to_json(self._source)
        return FeedEvent(row.sequence, row.type, row.subject, row.owner, text)

    def _arrive(self, event: PublishedEvent) -> None:
        """Called in the listener's thread."""
        with self._lock:
            self._arrived_bytes += len(event.text)
            is_full = (
                len(self._arrived) >= MAX_ARRIVED
                or self._arrived_bytes > MAX_ARRIVED_BYTES
            )
            if is_full:
                self._arrived.clear()
                self._arrived_bytes = len(event.text)
            self._arrived.append(event)
            is_first = len(self._arrived) == 1
        if is_first and self._loop is not None:
            self._loop.call_soon_threadsafe(self._has_arrived.set)

    async def _take_arrived(self) -> deque[PublishedEvent]:
        """What arrived; nothing after ``INTERVAL`` seconds."""
        try:
            async with asyncio.timeout(INTERVAL):
                await self._has_arrived.wait()
        except TimeoutError:
            pass
        self._has_arrived.clear()
        with self._lock:
            arrived, self._arrived = self._arrived, deque()
            self._arrived_bytes = 0
        return arrived

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        last_used = loop.time()
        try:
            while self.open_streams or loop.time() - last_used < LINGER:
                if self.open_streams:
                    last_used = loop.time()
                arrived = await self._take_arrived()
                try:
                    await self._hand_on(arrived)
                except Unavailable:  # the rest is read later
                    await asyncio.sleep(INTERVAL)
                except Exception:
                    logger.exception("The feed of events failed, and goes on")
                    await asyncio.sleep(INTERVAL)
        finally:
            self._runner = None
            if self._listener is not None:
                self._listener.stop()

    async def _hand_on(self, arrived: deque[PublishedEvent]) -> None:
        if not arrived:
            await self._catch_up()
        number = size = 0
        while arrived:
            event = arrived.popleft()
            if event.sequence <= self.position:
                continue
            if event.previous is None or event.previous > self.position:
                await self._catch_up()
                if event.sequence <= self.position:
                    continue
            self._push(
                FeedEvent(
                    event.sequence, event.type, event.subject, event.owner, event.text
                )
            )
            number, size = number + 1, size + len(event.text)
            if number >= TURN or size >= TURN_BYTES:
                number = size = 0
                await self._let_send()

    async def _catch_up(self) -> None:
        """Read the table to its end."""
        while True:
            rows = await self._log.read(
                self.position, PAGE, EventFilter(), FEED_PAGE_BYTES
            )
            for row in rows:
                self._push(self._of_row(row))
            if not rows:
                return
            await self._let_send()

    async def _let_send(self) -> None:
        """Streams wake up in one turn of the loop, and send in the next."""
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    def _push(self, event: FeedEvent) -> None:
        self.position = event.sequence
        keys = {
            EventFilter(owner, subject, type)
            for owner in (None, event.owner)
            for subject in (None, event.subject)
            for type in (None, event.type)
        }
        for key in keys:
            for stream in self._streams.get(key, ()):
                stream.push(event)
        while self._held.is_full:
            slowest = max(self._all(), key=lambda each: each.waiting_bytes)
            if not slowest.waiting_bytes:
                return  # those that read the table wait by themselves
            slowest.overflow()
