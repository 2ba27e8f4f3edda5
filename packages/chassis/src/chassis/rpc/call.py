"""One call, shared by its caller and the I/O thread."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from chassis.errors import ApplicationError
from chassis.rpc import wire


@dataclass(slots=True, eq=False)
class Call:
    """One request in flight. ``on_done`` runs in the I/O thread and must be quick."""

    id: str
    queue: str
    body: bytes
    headers: dict[str, Any]
    timeout: float
    on_done: Callable[["Call"], None]
    started: float = field(default_factory=time.monotonic)
    reply: wire.Reply | None = None
    error: ApplicationError | None = None
    tag: int | None = None

    @property
    def deadline(self) -> float:
        """When the caller stops waiting, in ``time.monotonic()`` seconds."""
        return self.started + self.timeout
