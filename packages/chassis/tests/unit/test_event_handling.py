"""One event, from its delivery to its outcome, without servers."""

import json
import threading
from collections.abc import Callable
from typing import Any

import pytest

from chassis.context import (
    current_principal,
    current_request_id,
    current_task_id,
)
from chassis.errors import (
    DeadlineExceeded,
    NoConsumer,
    ServiceError,
    ServiceFailed,
)
from chassis.events import Event
from chassis.events.event import event_json
from chassis.events.handlers import Handler
from chassis.events.handling import TRIED, EventHandler
from chassis.rpc.wire import Outcome, Request, Settlement
from tests.unit.deliveries import make_request


def event(type: str = "record.failed", **more: str | None) -> bytes:
    known: dict[str, str | None] = {
        "id": "e-1",
        "source": "/here",
        "subject": "t-1",
        "time": "2026-01-01T00:00:00+00:00",
    }
    text = event_json(sequence=7, data=json.dumps({"a": 1}), type=type, **known, **more)
    return text.encode()


def handle(own: Callable[[Event], Any], request: Request) -> Outcome:
    return EventHandler("queue", Handler("record.*", own), None)(request)


def raising(error: BaseException) -> Callable[[Event], None]:
    def own(event: Event) -> None:
        raise error

    return own


def test_the_handler_knows_what_happened_and_who_did_it() -> None:
    seen: list[Any] = []

    def own(event: Event) -> None:
        ids = current_request_id.get(), current_task_id.get(), current_principal.get()
        seen.append((event.sequence, event.data, ids))

    request = make_request(event(correlationid="r-1", actor="ada"))
    assert handle(own, request) == Outcome(Settlement.ACK)
    handle(own, make_request(event("order.placed")))
    assert seen == [
        (7, {"a": 1}, ("r-1", "t-1", "ada")),
        (7, {"a": 1}, ("e-1", None, None)),
    ]
    assert current_request_id.get() == "-"
    assert request.context and request.context[current_request_id] == "r-1"


@pytest.mark.promise(
    "packages/chassis/README.md", "one that is no CloudEvent goes there at once"
)
@pytest.mark.parametrize("body", [b"", b"{}", b"[]", b"\xff", event()[:-1]])
def test_what_is_no_event_is_dead_lettered_at_once(body: bytes) -> None:
    outcome = handle(raising(AssertionError()), make_request(body))
    assert outcome == Outcome(Settlement.DEAD_LETTER, error="invalid_event")


@pytest.mark.parametrize(
    "error",
    [
        *(ValueError("x"), SystemExit(), ServiceError("code", "refused")),
        ServiceFailed("it fails on this event each time"),
    ],
)
def test_what_fails_is_tried_ten_times(error: BaseException) -> None:
    for tried, settlement in (
        *((None, Settlement.RETRY), (8, Settlement.RETRY)),
        (9, Settlement.DEAD_LETTER),
        ("of a stranger", Settlement.RETRY),
    ):
        headers = {} if tried is None else {TRIED: tried}
        outcome = handle(raising(error), make_request(event(), headers))
        assert outcome == Outcome(settlement, error="handler_failed")


@pytest.mark.parametrize("error", [NoConsumer("away"), DeadlineExceeded("slow")])
def test_it_waits_for_a_dependency_until_it_stops(error: Exception) -> None:
    called = threading.Semaphore(0)

    def own(event: Event) -> None:
        called.release()
        raise error

    handler = EventHandler("queue", Handler("record.*", own), None)
    outcomes: list[Outcome] = []
    request = make_request(event(), {TRIED: 9})
    thread = threading.Thread(target=lambda: outcomes.append(handler(request)))
    thread.start()
    for _ in range(3):
        assert called.acquire(timeout=10)
    handler.stop()
    thread.join(10)
    assert outcomes == [Outcome(Settlement.REQUEUE, error="stopped")]
