"""A connection that only notes what an intake writes."""

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

from chassis.rpc.connection import IO_TIMEOUT, OnDelivery

PREFETCH = 8


class FakeConnection:
    """Connection and channel in one; `writes` are lines, joined as they are sent."""

    def __init__(self, is_reliable: bool = True) -> None:
        self.is_reliable = is_reliable
        self.channel = self
        self.writes: list[str] = []
        self.replies: list[Any] = []
        self.now = time.time
        self.deliver: OnDelivery
        self.consumer: str | None = None
        self.size = 0
        self._gathered: list[str] | None = None

    def open(self, set_up: Callable[[Any], None]) -> None:
        set_up(self)

    def prepare_queue_arguments(self, arguments: Any, **options: Any) -> Any:
        return arguments

    def queue_declare(self, **options: Any) -> tuple[str, int, int]:
        return options["queue"], 0, 0

    def basic_qos(self, size: int, count: int, a_global: bool) -> None:
        assert (size, a_global) == (0, False)  # RabbitMQ knows no others
        self.size = count

    def consume(self, queue: str, on_delivery: OnDelivery, *, tag: str) -> None:
        assert self.consumer is None
        self.deliver, self.consumer = on_delivery, tag

    def cancel(self, tag: str) -> None:
        assert self.consumer == tag
        self.consumer = None

    def within(self, seconds: float) -> AbstractContextManager[None]:
        assert seconds == IO_TIMEOUT
        return nullcontext()

    def receive(self, is_enough: Callable[[], bool]) -> None: ...

    @contextmanager
    def one_write(self) -> Iterator[None]:
        lines: list[str] = []
        self._gathered = lines
        yield
        self._gathered = None
        if lines:
            self.writes.append(", ".join(lines))

    def _write(self, line: str) -> None:
        if self._gathered is None:
            self.writes.append(line)
        else:
            self._gathered.append(line)

    def publish(self, queue: str, body: bytes, headers: Any, **properties: Any) -> None:
        self._write(f"reply {properties['correlation_id']} to {queue}")
        self.replies.append((body, headers))

    def basic_ack(self, tag: int, multiple: bool = False) -> None:
        self._write(f"ack {'up to ' if multiple else ''}{tag}")

    def basic_reject(self, tag: int, requeue: bool) -> None:
        self._write(f"{'requeue' if requeue else 'reject'} {tag}")

    def close(self) -> None:
        self._write("close")
