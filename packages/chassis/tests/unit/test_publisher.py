"""What the publisher of events takes for published, without a broker."""

from collections.abc import Callable
from typing import Any

import pytest

from chassis.events import publisher as module
from chassis.events.publisher import EventMessage, EventPublisher, NotPublished
from chassis.settings import RabbitMQSettings, RpcSettings
from tests.unit.broker import FakeConnection

Answer = Callable[[FakeConnection], None]


class Bench:
    """A publisher and its connections, one after another."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.connections = [FakeConnection() for _ in range(3)]
        following: Any = iter(self.connections)
        monkeypatch.setattr(module, "connections", lambda *_: following)
        monkeypatch.setattr(module, "new_connection", lambda *_: self.connections[0])
        self.publisher = EventPublisher(
            RabbitMQSettings(), RpcSettings(), "events", "test"
        )

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
