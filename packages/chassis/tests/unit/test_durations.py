"""How long calls, handlers and queues take, as metrics: dashboards and alerts read
them."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider

from chassis.errors import Refused
from chassis.events import publish_tracing
from chassis.events import tracing as event_tracing
from chassis.events.event import event_json
from chassis.events.topology import Subscription
from chassis.events.tracing import TracedEventHandler
from chassis.rpc import tracing as module
from chassis.rpc.call import Call
from chassis.rpc.connection import Delivery
from chassis.rpc.tracing import TracedHandler, traced_call, watch_calls
from chassis.rpc.wire import REQUEST_ID, SENT_AT, TASK_ID, Outcome, Request, Settlement
from chassis.telemetry import tracing
from tests.unit.figures import Figures, Instrument

OWN = {
    "messaging.system": "rabbitmq",
    "messaging.destination.name": "work",
    "messaging.operation.name": "process",
}


@pytest.fixture(autouse=True)
def telemetry(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(tracing, "tracer", TracerProvider().get_tracer("test"))
    tracing.set_enabled(True)
    yield
    tracing.set_enabled(False)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """A clock that stands still until a test moves `now`."""
    clock = SimpleNamespace(now=1000.0, time=time.time)
    clock.perf_counter = lambda: clock.now
    monkeypatch.setattr(module, "time", clock)
    return clock


def call() -> Call:
    headers = {REQUEST_ID: "r-1", TASK_ID: "t-1"}
    return Call("c-1", "work", b"{}", headers, 2.5, lambda _: None)


def test_of_a_call(monkeypatch: pytest.MonkeyPatch, clock: SimpleNamespace) -> None:
    durations = Instrument(monkeypatch, module, "_call_durations")
    sent = call()
    with traced_call("redis", sent):
        clock.now += 0.25
    own = {"messaging.system": "redis", "messaging.destination.name": "work"}
    assert (durations.values, durations.attributes) == ([0.25], [own])
    # Its exemplar leads to the trace.
    span = trace.get_current_span(durations.contexts[0]).get_span_context()
    assert f"{span.span_id:016x}" in sent.headers["traceparent"]
    with pytest.raises(Refused), traced_call("redis", call()):
        raise Refused("no")
    assert durations.attributes[1] == {**own, "error.type": Refused.code}


def request(body: bytes = b"{}", sent: float | None = None) -> Request:
    """Sent that many seconds ago."""
    headers = {} if sent is None else {SENT_AT: int((time.time() - sent) * 1000)}
    return Request(Delivery(body, headers, {}, 1), None)


def test_of_a_handler(monkeypatch: pytest.MonkeyPatch, clock: SimpleNamespace) -> None:
    durations = Instrument(monkeypatch, module, "_process_durations")
    letters = Instrument(monkeypatch, module, "_dead_letters")
    outcomes = [
        Outcome(Settlement.ACK),
        Outcome(Settlement.REQUEUE, error="service_failed"),
        Outcome(Settlement.DEAD_LETTER, error="invalid_request"),
    ]
    seen: list[Request] = []

    def handle(request: Request) -> Outcome:
        seen.append(request)
        clock.now += 0.5
        return outcomes[len(seen) - 1]

    handler = TracedHandler(handle, "work", "rabbitmq")
    requests = [request() for _ in outcomes]
    assert [handler(each) for each in requests] == outcomes
    assert seen == requests and durations.values == [0.5] * 3
    failed, dead = ({**OWN, "error.type": each.error} for each in outcomes[1:])
    assert durations.attributes == [OWN, failed, dead]
    assert (letters.values, letters.attributes) == ([1], [dead])


def test_of_a_queue(monkeypatch: pytest.MonkeyPatch) -> None:
    waits = Instrument(monkeypatch, module, "_waits")
    spans: list[Any] = []

    def handle(_: Request) -> Outcome:
        spans.append(trace.get_current_span())
        return Outcome(Settlement.ACK)

    handler = TracedHandler(handle, "work", "rabbitmq")
    handler(request(sent=2))
    handler(request())
    assert waits.values == [pytest.approx(2, abs=1)] and waits.attributes == [OWN]
    waited = [each.attributes.get("app.rpc.queue_time") for each in spans]
    assert waited == [pytest.approx(2, abs=1), None]


def test_of_an_event(monkeypatch: pytest.MonkeyPatch) -> None:
    delays = Instrument(monkeypatch, event_tracing, "_delays")
    handler = TracedEventHandler(
        lambda _: Outcome(Settlement.ACK), Subscription("shop", "#"), "rabbitmq"
    )
    now = datetime.now(UTC)
    for happened in (
        *((now - timedelta(seconds=2)).isoformat(), "yesterday"),
        (now + timedelta(hours=1)).isoformat(),  # the clocks differ
    ):
        known = {"id": "1", "source": "/", "type": "a.b", "subject": "s"}
        body = event_json(sequence=1, data="1", time=happened, **known)
        handler(request(body.encode()))
    handler(request(b"no event"))
    assert delays.values == [pytest.approx(2, abs=1), 0]
    subscription = delays.attributes[0]["messaging.destination.subscription.name"]
    assert subscription == "shop.events.#"


def test_published_events_are_counted_by_type(monkeypatch: pytest.MonkeyPatch) -> None:
    published = Instrument(monkeypatch, publish_tracing, "_published")
    publish_tracing.count_published(["a.b", "c.d", "a.b"])
    types = [each["app.event.type"] for each in published.attributes]
    assert dict(zip(types, published.values, strict=True)) == {"a.b": 2, "c.d": 1}


def test_what_a_client_waits_for(monkeypatch: pytest.MonkeyPatch) -> None:
    figures = Figures(monkeypatch)
    calls = SimpleNamespace(in_flight=3, refusal=None)
    watch_calls(calls, "redis")
    own = {"messaging.system": "redis"}
    assert figures.read() == {
        "rpc.client.active_calls": (3, "{call}", own),
        "app.rpc.broker.available": (1, "", own),
    }
    calls.refusal = "There is no connection."
    assert figures.read()["app.rpc.broker.available"][0] == 0


def test_without_telemetry_nothing_is_watched(monkeypatch: pytest.MonkeyPatch) -> None:
    figures = Figures(monkeypatch)
    monkeypatch.setattr(tracing, "is_enabled", lambda: False)
    watch_calls(SimpleNamespace(in_flight=3, refusal=None), "redis")
    with pytest.raises(AssertionError):
        figures.read()
