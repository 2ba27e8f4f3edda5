"""What a subscription's connection writes, without a broker."""

from contextlib import nullcontext
from typing import Any, cast

from chassis.events.handling import TRIED
from chassis.events.intake import EventIntake
from chassis.events.topology import Subscription
from chassis.rpc.connection import BrokerConnection, Delivery
from chassis.rpc.wire import Outcome, Request, Settlement

OWN = Subscription("shop", "record.*")


class Broker:
    """Connection and channel in one, which note what they are told."""

    is_reliable = True
    within = one_write = staticmethod(lambda *_: nullcontext())

    def __init__(self) -> None:
        self.channel = self
        self.told: list[Any] = []

    def open(self, set_up: Any) -> None:
        set_up(self)

    def prepare_queue_arguments(self, arguments: Any, **options: Any) -> Any:
        return arguments

    def queue_declare(self, **options: Any) -> tuple[str, int, int]:
        return options["queue"], 0, 0

    def exchange_declare(self, **options: Any) -> None: ...

    def queue_bind(self, *words: str) -> None:
        self.told.append(("bind", *words))

    def basic_qos(self, size: int, count: int, a_global: bool) -> None:
        self.told.append(("fetch", count))

    def consume(self, queue: str, on_delivery: Any, *, tag: str) -> None:
        self.told.append(("consume", queue))
        self.deliver = on_delivery

    def prepare_message(self, body: bytes, **options: Any) -> Any:
        # Persistent: a deferred event survives a restart of the broker.
        assert options["properties"] == {"delivery_mode": 2}
        assert options["content_type"] == "application/cloudevents+json"
        return body, options["headers"]

    def basic_publish_confirm(self, message: Any, **place: Any) -> None:
        # Mandatory: without its queue it must not disappear.
        assert place["mandatory"] is True and place["exchange"] == ""
        self.told.append(("publish", place["routing_key"], *message))

    def basic_ack(self, tag: int, multiple: bool = False) -> None:
        self.told.append(("ack", tag))


def received(broker: Broker) -> tuple[EventIntake, list[Request]]:
    requests: list[Request] = []
    connection = cast(BrokerConnection, broker)
    intake = EventIntake(connection, OWN, requests.append)
    intake.open()
    assert broker.told == [
        ("bind", OWN.name, OWN.exchange, OWN.pattern),
        ("fetch", 1),
        ("consume", OWN.name),
    ]
    broker.told.clear()
    return intake, requests


def deliver(broker: Broker, tag: int, headers: dict[str, Any]) -> None:
    broker.deliver(Delivery(b"{}", headers, {}, tag))


def test_it_always_fetches_one_at_a_time_and_keeps_its_consumer() -> None:
    """With several, or another consumer for a moment, the order would be lost."""
    broker = Broker()
    intake, requests = received(broker)
    for tag, returns in enumerate((0, 5, 0), start=1):
        deliver(broker, tag, {"x-delivery-count": returns} if returns else {})
        intake.send([(requests[-1], Outcome(Settlement.ACK))])
    assert broker.told == [("ack", 1), ("ack", 2), ("ack", 3)]


def test_a_deferred_event_is_published_before_it_is_acknowledged() -> None:
    broker = Broker()
    intake, requests = received(broker)
    sent = {"traceparent": "00-1-2-01", "x-death": [], TRIED: 3, "x-previous": "7"}
    deliver(broker, 1, sent)
    intake.send([(requests[0], Outcome(Settlement.RETRY))])
    headers = {"traceparent": "00-1-2-01", TRIED: 4}
    assert broker.told == [("publish", OWN.retry_queue, b"{}", headers), ("ack", 1)]


def test_an_event_of_an_old_connection_is_not_deferred() -> None:
    """The broker has delivered it again."""
    first, second = Broker(), Broker()
    _, requests = received(first)
    intake, _ = received(second)
    deliver(first, 1, {})
    intake.send([(requests[0], Outcome(Settlement.RETRY))])
    assert second.told == []
