"""One event, from its delivery to its outcome, without servers."""

import json
import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, cast

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
from chassis.events.handling import TRIED, EventHandler, report_events
from chassis.events.inbox import Inbox
from chassis.logs import ACCESS
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
    assert current_task_id.get() is current_principal.get() is None
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
def test_it_waits_for_a_dependency_until_it_stops(
    error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
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
    assert len([each for each in caplog.messages if str(error) in each]) == 1


def test_the_end_of_an_outage_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    errors = [NoConsumer("away"), None]

    def own(event: Event) -> None:
        if error := errors.pop(0):
            raise error

    handler = EventHandler("queue", Handler("record.*", own), None)
    assert handler(make_request(event())) == Outcome(Settlement.ACK)
    assert "Connected to what the handler of record.* calls" in caplog.text


class FakeInbox:
    """Its dependency is away for `losses`, and it knows the events of `known`."""

    def __init__(self, *losses: Exception) -> None:
        self.losses = [*losses]
        self.known: list[str] = []
        self.told: list[str] = []

    def prune(self) -> None:
        self.told.append("prune")

    @contextmanager
    def receiving(self, subscription: str, event_id: str) -> Iterator[Any]:
        assert subscription == "queue"
        if self.losses:
            raise self.losses.pop(0)
        yield None if event_id in self.known else self
        self.known.append(event_id)

    def is_away(self, error: BaseException) -> bool:
        return isinstance(error, ConnectionError)

    def lost(self, error: BaseException) -> None:
        self.told.append(f"lost {error}")

    def restored(self) -> None:
        self.told.append("restored")


def test_an_event_has_its_effect_once() -> None:
    inbox, seen = FakeInbox(), []

    def own(event: Event, cursor: Any) -> None:
        assert cursor is inbox
        seen.append(event.id)

    handler = EventHandler("queue", Handler("record.*", own), cast(Inbox, inbox))
    for _ in range(2):  # it was delivered again
        assert handler(make_request(event())) == Outcome(Settlement.ACK)
    assert seen == ["e-1"]
    assert inbox.told == ["prune", "restored"] * 2


def test_it_waits_for_its_database() -> None:
    """No attempt is lost."""
    inbox = FakeInbox(ConnectionResetError("1"), ConnectionResetError("2"))
    handler = EventHandler(
        "queue", Handler("record.*", lambda event, cursor: None), cast(Inbox, inbox)
    )
    request = make_request(event(), {TRIED: 9})
    assert handler(request) == Outcome(Settlement.ACK)
    assert inbox.told == ["prune", "lost 1", "prune", "lost 2", "prune", "restored"]
    assert 0 < request.seconds < 10


def test_an_error_of_its_own_is_not_the_databases() -> None:
    inbox = FakeInbox(LookupError())
    handler = EventHandler(
        "queue", Handler("record.*", lambda event, cursor: None), cast(Inbox, inbox)
    )
    outcome = handler(make_request(event()))
    assert outcome == Outcome(Settlement.RETRY, error="handler_failed")
    assert inbox.told == ["prune"]


def test_each_event_has_a_line_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, ACCESS)
    handled = []
    for own, body in (
        (lambda _: None, event()),
        (raising(ValueError("x")), event()),
        (raising(AssertionError()), b"no event"),
    ):
        request = make_request(body)
        handled.append((request, handle(own, request)))
        request.seconds = 0.25
    caplog.clear()
    untouched = make_request(event()), Outcome(Settlement.REQUEUE)
    report_events("queue", [*handled, untouched])
    assert [each.getMessage() for each in caplog.records] == [
        "Handled an event: queue ok 250.0 ms task t-1",
        "Handled an event: queue handler_failed 250.0 ms task t-1",
        "Handled an event: queue invalid_event 250.0 ms",
    ]
    caplog.clear()
    caplog.set_level(logging.WARNING, ACCESS)
    report_events("queue", handled)
    assert not caplog.records
