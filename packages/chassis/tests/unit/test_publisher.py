"""What the publisher of events takes for published, without a broker."""

import time
from collections.abc import Callable

import pytest

from chassis.events import publisher as module
from chassis.events.publisher import EventMessage, EventPublisher, NotPublished
from chassis.settings import RabbitMQSettings, RpcSettings
from tests.unit.broker import WAIT, FakeConnection, replace_connections

Answer = Callable[[FakeConnection], None]


class Bench:
    """A publisher and its connections, one after another."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.connections = [FakeConnection() for _ in range(3)]
        asked = replace_connections(monkeypatch, module, self.connections)
        rabbitmq, rpc = RabbitMQSettings(host="h"), RpcSettings()
        self.publisher = EventPublisher(rabbitmq, rpc, "events", "test")
        assert asked == [(rabbitmq, rpc, "test")] * 2

    def publish(self, *ids: str, answer: Answer, connection: int = 0) -> None:
        """Publish; the broker answers when it has all of them."""
        broker = self.connections[connection]
        complete = len(broker.sent) + len(ids)

        def published() -> None:
            if len(broker.sent) == complete:
                answer(broker)

        broker.on_publish = published
        self.publisher.publish(
            [EventMessage(name, "record.tested", b"{}", 1) for name in ids]
        )
        assert broker.sent[-len(ids) :] == [*ids]


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Bench:
    return Bench(monkeypatch)


def confirm(kind: str, tag: int, *, multiple: bool = False) -> Answer:
    return lambda broker: broker.confirm(kind, tag, multiple=multiple, waits=False)


def all_of(*answers: Answer) -> Answer:
    def answer(broker: FakeConnection) -> None:
        for each in answers:
            each(broker)

    return answer


@pytest.mark.promise(
    "ARCHITECTURE.md",
    "The relay publishes the event log to the exchange `events` of RabbitMQ, each "
    "event at least once.",
)
def test_all_must_be_confirmed(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.publish("a", "b", "c", answer=confirm("ack", 3, multiple=True))
    single = [confirm("ack", tag) for tag in (5, 4, 6)]
    bench.publish("d", "e", "f", answer=all_of(*single))
    assert {each["delivery_mode"] for each in bench.connections[0].properties} == {2}
    monkeypatch.setattr(module, "CONFIRM_SECONDS", 0.1)
    with pytest.raises(NotPublished, match="no confirmation"):
        bench.publish("g", "h", "i", answer=confirm("ack", 8, multiple=True))


def test_one_refusal_is_enough(bench: Bench) -> None:
    for kind in ("nack", "ack"):
        other = "ack" if kind == "nack" else "nack"
        first = 1 if kind == "nack" else 3
        answers = all_of(confirm(kind, first), confirm(other, first + 1, multiple=True))
        with pytest.raises(NotPublished) as refused:
            bench.publish("a", "b", answer=answers)
        assert refused.value.is_refused
    bench.publish("a", "b", answer=confirm("ack", 6, multiple=True))


def test_pauses_grow_with_refusals_until_one_is_published(bench: Bench) -> None:
    def refuse() -> float:
        tag = len(bench.connections[0].sent) + 1
        with pytest.raises(NotPublished) as refused:
            bench.publish("a", answer=confirm("nack", tag))
        return refused.value.pause

    first, *_, last = [refuse() for _ in range(6)]
    assert first <= 0.1 and 0.5 <= last <= 2
    bench.publish("a", answer=confirm("ack", 7))
    assert refuse() <= 0.1


def test_confirms_count_anew_on_each_connection(bench: Bench) -> None:
    bench.publish("a", answer=confirm("ack", 1))
    with pytest.raises(NotPublished) as lost:
        bench.publish("b", "c", answer=lambda broker: broker.lose(waits=False))
    assert not lost.value.is_refused and lost.value.pause > 0
    answer = confirm("ack", 2, multiple=True)
    bench.publish("b", "c", answer=answer, connection=1)


def test_a_refusal_of_a_lost_connection_is_forgotten(bench: Bench) -> None:
    answers = all_of(confirm("nack", 1), lambda broker: broker.lose(waits=False))
    with pytest.raises(NotPublished):
        bench.publish("a", "b", answer=answers)
    answer = confirm("ack", 2, multiple=True)
    bench.publish("a", "b", answer=answer, connection=1)


def test_an_event_is_published_under_its_type(bench: Bench) -> None:
    broker = bench.connections[0]
    broker.on_publish = lambda: broker.confirm("ack", 2, multiple=True, waits=False)
    bench.publisher.publish(
        [
            EventMessage("a", "record.tested", b"1", 41, "00-1-2-01"),
            EventMessage("b", "order.placed", b"2", 42),
        ]
    )
    assert bench.publisher.exchange == "events"
    kinds = [(each["exchange"], each["routing_key"]) for each in broker.places]
    assert kinds == [("events", "record.tested"), ("events", "order.placed")]
    assert broker.headers == [
        {"x-previous": "41", "traceparent": "00-1-2-01"},
        {"x-previous": "42"},
    ]
    first, second = broker.properties
    assert (first["body"], second["body"]) == (b"1", b"2")
    assert first["content_type"] == "application/cloudevents+json"


def test_a_publisher_that_waits_answers_heartbeats_and_sees_a_loss(
    bench: Bench,
) -> None:
    began = time.monotonic()
    bench.publisher.wait(0.05)  # not connected yet
    assert time.monotonic() - began >= 0.05
    bench.publisher.open()
    broker = bench.connections[0]
    bench.publisher.wait(0)
    assert broker.beats == 1
    bench.publisher.interrupt()
    bench.publisher.wait(WAIT)  # not at all
    broker.lose(waits=False)
    with pytest.raises(NotPublished, match="the connection was lost: lost") as lost:
        bench.publisher.wait(WAIT)
    assert lost.value.pause > 0 and not lost.value.is_refused
    assert time.monotonic() - began < WAIT and broker.dropped == 1


def test_an_end_that_is_out_of_order_does_no_harm(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.publisher.open()
    broker = bench.connections[0]

    def fail() -> None:
        broker.closed += 1
        raise ConnectionResetError("lost")

    monkeypatch.setattr(broker, "close", fail)
    bench.publisher.close()
    assert broker.closed == 1
    Bench(monkeypatch).publisher.close()  # it was never connected


def test_a_broker_that_cannot_be_reached(bench: Bench) -> None:
    broker = bench.connections[0]

    def refuse(_: object) -> None:
        raise ConnectionRefusedError("no")

    broker.open = refuse  # type: ignore[method-assign, assignment]
    with pytest.raises(NotPublished) as lost:
        bench.publisher.open()
    assert lost.value.pause > 0 and broker.dropped == 1
    bench.publish("a", answer=confirm("ack", 1), connection=1)


def test_it_says_once_that_events_are_refused_and_once_that_they_are_not(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    for tag in (1, 2, 3):
        with pytest.raises(NotPublished):
            bench.publish("a", answer=confirm("nack", tag))
    bench.publish("a", answer=confirm("ack", 4))
    bench.publish("a", answer=confirm("ack", 5))
    said = [each for each in caplog.messages if "event" in each]
    assert len(said) == 2
    assert "refuses" in said[0] and "again" in said[1]


@pytest.mark.parametrize(("text", "is_bug"), [("lost", False), ("a bug", True)])
def test_a_loss_is_told_with_what_to_do(
    bench: Bench, caplog: pytest.LogCaptureFixture, text: str, is_bug: bool
) -> None:
    error = LookupError(text) if is_bug else ConnectionResetError(text)
    bench.publisher.open()
    bench.connections[0].lose(error, waits=False)
    with pytest.raises(NotPublished):
        bench.publisher.wait(WAIT)
    (warning,) = [each for each in caplog.records if each.levelname == "WARNING"]
    assert warning.getMessage().startswith(f"Lost a broker: {type(error).__name__}")
    assert warning.getMessage().endswith("ask its author" if is_bug else "lost")
    assert bool(warning.exc_info) is is_bug
