"""What the feed of events reads and hears."""

from collections.abc import Callable
from typing import Protocol

from app.repositories.event_repository import EventFilter, StoredEvent
from chassis.events.published import PublishedEvent


class ReadableLog(Protocol):
    """The table. All methods raise Unavailable."""

    async def end(self) -> int:
        """The highest sequence below which no event can appear any more."""

    async def read(
        self, after: int, limit: int, wanted: EventFilter, max_bytes: int
    ) -> list[StoredEvent]:
        """The next events."""


class Listener(Protocol):
    """Calls what it is made with for each event of the exchange, in its own thread."""

    def start(self) -> None:
        """Start."""

    def stop(self) -> None:
        """Begin to stop."""

    def join(self) -> None:
        """Wait for its end."""


NewListener = Callable[[Callable[[PublishedEvent], None]], Listener]
