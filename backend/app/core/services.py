"""The services that this backend calls: one line for each.

Everything that concerns all of them reads this list: accepted work and its sweep,
metrics, health and telemetry.
"""

from collections.abc import Iterator
from dataclasses import dataclass

# Records and tasks of an older version name no queue: all of them are this one's.
UNNAMED = "data"


@dataclass(frozen=True)
class Service:
    """``queue`` is where it listens; ``<NAME>_QUEUE_NAME`` replaces it."""

    name: str
    queue: str

    @property
    def dead_letter_queue(self) -> str:
        """Where requests end that the service fails on again and again."""
        return f"{self.queue}_dlq"

    def owns(self, queue: str | None) -> bool:
        """Whether a record or a task with that queue's name is for this service."""
        return queue == self.queue or (queue is None and self.name == UNNAMED)


SERVICES: tuple[Service, ...] = (
    # A line for each; `make new-service` adds one.
    Service("data", "data_queue"),
)


@dataclass(frozen=True)
class ServiceRegistry:
    """The services of one process; ``settings.services`` is its own."""

    services: tuple[Service, ...]

    def __iter__(self) -> Iterator[Service]:
        return iter(self.services)

    def get_service(self, name: str) -> Service:
        """Raises LookupError if ``app.core.services`` has no line for it."""
        for service in self.services:
            if service.name == name:
                return service
        raise LookupError(f"app.core.services names no service {name!r}")

    def find_service(self, queue: str | None) -> Service | None:
        """The service that a record or a task with that queue's name is for."""
        return next((each for each in self.services if each.owns(queue)), None)
