"""The services that this backend calls: one line each.

Accepted work and its sweep, metrics, health and telemetry all read this list.
"""

from collections.abc import Iterator
from dataclasses import dataclass

# Records and tasks of an older version name no queue: they all belong to this service.
UNNAMED = "data"


@dataclass(frozen=True)
class Service:
    """``queue`` is where the service listens; ``<NAME>_QUEUE_NAME`` replaces it.

    ``is_tried`` is whether the smoke test may send the example of its endpoints: say
    False if that would charge somebody, or have another effect outside.
    """

    name: str
    queue: str
    is_tried: bool = True

    @property
    def dead_letter_queue(self) -> str:
        """The queue for requests that the service keeps failing on."""
        return f"{self.queue}_dlq"

    def owns(self, queue: str | None) -> bool:
        """Whether a record or task with that queue name belongs to this service."""
        return queue == self.queue or (queue is None and self.name == UNNAMED)


SERVICES: tuple[Service, ...] = (
    # One line per service; `make new-service` adds one.
    Service("data", "data_queue"),
)


@dataclass(frozen=True)
class ServiceRegistry:
    """The services of one process; use ``settings.services``."""

    services: tuple[Service, ...]

    def __iter__(self) -> Iterator[Service]:
        return iter(self.services)

    def get_service(self, name: str) -> Service:
        """The service with that name; LookupError if ``app.core.services`` has none."""
        for service in self.services:
            if service.name == name:
                return service
        raise LookupError(f"app.core.services has no service named {name!r}")

    def find_service(self, queue: str | None) -> Service | None:
        """The service that a record or task with that queue name belongs to."""
        return next((each for each in self.services if each.owns(queue)), None)
