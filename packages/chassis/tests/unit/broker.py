"""A connection whose broker is the test, for threads that own one."""

import os
import threading
import time
from collections import defaultdict, deque
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import pytest

from chassis.rpc.call import Call
from chassis.rpc.connection import Delivery, OnDelivery

WAIT = 10


def replace_connections(
    monkeypatch: pytest.MonkeyPatch, module: Any, connections: "list[FakeConnection]"
) -> list[Any]:
    """Give a module these, one after another; returns what it asks for them with."""
    asked: list[Any] = []

    def following(*arguments: Any) -> Any:
        asked.append(arguments)
        return iter(connections)

    def first(*arguments: Any) -> FakeConnection:
        asked.append(arguments)
        return connections[0]

    monkeypatch.setattr(module, "connections", following)
    monkeypatch.setattr(module, "new_connection", first)
    return asked


class FakeConnection:
    """Connection and channel in one; `happen` plays the broker."""

    system = "rabbitmq"
    is_reliable = True
    errors = (OSError,)
    nodes = 1

    def __init__(self) -> None:
        self.channel = self
        self.blocked: str | None = None
        self.is_leaving = False
        self.events: dict[str, set[Any]] = defaultdict(set)
        self.confirms = False
        self.declared: list[dict[str, Any]] = []
        self.bound: list[dict[str, Any]] = []
        self.sent: list[str] = []
        self.properties: list[dict[str, Any]] = []
        self.headers: list[dict[str, Any]] = []
        self.places: list[dict[str, Any]] = []
        self.consumed: list[dict[str, Any]] = []
        self.beats = self.closed = self.dropped = 0
        self.on_reply: OnDelivery
        self.on_publish: Callable[[], None] = lambda: None
        self._happening: deque[Callable[[], None]] = deque()
        self._read_fd, self._write_fd = os.pipe()
        self.descriptors = (self._read_fd,)

    def happen(self, action: Callable[[], object], *, waits: bool = True) -> None:
        """Run this in the I/O thread, as if a frame arrived, and wait for the turn."""
        done = threading.Event()

        def act() -> None:
            try:
                action()
            finally:
                done.set()

        self._happening.append(act)
        os.write(self._write_fd, b"\0")
        assert not waits or done.wait(WAIT)

    def confirm(
        self, kind: str, tag: int, *, multiple: bool = False, waits: bool = True
    ) -> None:
        """`kind` is ack or nack."""
        listeners = self.events[f"basic_{kind}"]
        self.happen(lambda: [f(tag, multiple) for f in listeners], waits=waits)

    def lose(self, error: Exception | None = None, *, waits: bool = True) -> None:
        def fail() -> None:
            raise error or ConnectionResetError("lost")

        self.happen(fail, waits=waits)

    def leave(self) -> None:
        """The node is about to stop."""
        self.happen(lambda: setattr(self, "is_leaving", True))

    def answer(self, call: Call) -> None:
        headers = {"x-status": "ok", "x-task-type": "t"}
        reply = Delivery(b"1", headers, {"correlation_id": call.id}, 1)
        self.happen(lambda: self.on_reply(reply))

    # What callers and publishers call.

    def open(self, set_up: Callable[[Any], None]) -> None:
        set_up(self)

    def queue_declare(self, **options: Any) -> None:
        self.declared.append(options)

    def queue_bind(self, **options: Any) -> None:
        self.bound.append(options)

    def exchange_declare(self, **options: Any) -> None: ...

    def confirm_select(self) -> None:
        self.confirms = True

    def consume(self, queue: str, on_delivery: OnDelivery, **options: Any) -> None:
        self.on_reply = on_delivery
        self.consumed.append({"queue": queue, **options})

    def one_write(self) -> AbstractContextManager[None]:
        return nullcontext()

    def publish(self, queue: str, body: bytes, headers: Any, **properties: Any) -> None:
        self.sent.append(properties["correlation_id"])
        self.properties.append(properties)
        self.headers.append(headers)

    def prepare_message(self, body: bytes, **options: Any) -> dict[str, Any]:
        self.headers.append(options["headers"])
        properties: dict[str, Any] = options["properties"]
        return {**properties, "body": body, "content_type": options["content_type"]}

    def basic_publish(self, message: dict[str, Any], **place: Any) -> None:
        self.places.append(place)
        self.sent.append(message["message_id"])
        self.properties.append(message)
        self.on_publish()

    def receive(self) -> None:
        os.read(self._read_fd, 1)
        self._happening.popleft()()

    def heartbeat(self) -> None:
        self.beats += 1

    def now(self) -> float:
        return time.time()

    def advice(self, error: Exception) -> str | None:
        """What to do about a bug of the broker's."""
        return "ask its author" if str(error) == "a bug" else None

    def __str__(self) -> str:
        return "a broker"

    def close(self) -> None:
        self.closed += 1

    def drop(self) -> None:
        self.dropped += 1


class Heart:
    """Counts the signs of life, and notes when there is a connection."""

    def __init__(self) -> None:
        self.beats = 0
        self.connected: list[bool] = []

    def touch(self) -> None:
        self.beats += 1

    def set_connected(self, connected: bool) -> None:
        self.connected.append(connected)
