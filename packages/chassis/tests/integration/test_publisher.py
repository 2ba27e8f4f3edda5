"""What is published is there, in order; what is not is said."""

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from typing import Any
from uuid import uuid4

import pytest

from chassis.events import publisher as module
from chassis.events.publisher import EventMessage, EventPublisher, NotPublished
from chassis.settings import RabbitMQSettings, RpcSettings
from tests.integration.caller import Rabbit
from tests.integration.proxy import Proxy
from tests.integration.responder import connect
from tests.integration.waiting import wait_until

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

NewPublisher = Callable[..., EventPublisher]


@pytest.fixture
def exchange() -> str:
    return f"events-{uuid4().hex[:8]}"


@pytest.fixture
def new_publisher(
    rabbitmq_settings: RabbitMQSettings, exchange: str
) -> Iterator[NewPublisher]:
    with ExitStack() as opened:

        def new(**settings: Any) -> EventPublisher:
            own = rabbitmq_settings.model_copy(update=settings)
            publisher = EventPublisher(own, RpcSettings(), exchange, "test")
            opened.callback(publisher.close)
            publisher.open()
            return publisher

        yield new


class Bound:
    """A queue of the exchange."""

    def __init__(self, channel: Any, exchange: str, **arguments: Any) -> None:
        self._channel = channel
        arguments = {"x-queue-type": "quorum", **arguments}
        self.name = f"{exchange}.bound"
        channel.queue_declare(
            self.name, durable=True, auto_delete=False, arguments=arguments
        )
        channel.queue_bind(self.name, exchange, "record.#")

    def take(self) -> Any:
        return self._channel.basic_get(self.name, no_ack=True)

    def ids(self) -> list[str]:
        """Of all messages that are there, which are then gone."""
        return [found.properties["message_id"] for found in iter(self.take, None)]


@pytest.fixture
def channel(rabbitmq_settings: RabbitMQSettings, exchange: str) -> Iterator[Any]:
    with connect(rabbitmq_settings) as connection:
        channel: Any = connection.channel()
        channel.auto_decode = False
        yield channel
        channel.queue_delete(f"{exchange}.bound")
        channel.exchange_delete(exchange)


def messages(*ids: str) -> list[EventMessage]:
    return [EventMessage(id, "record.tested", b"{}", 7, TRACE) for id in ids]


def test_messages_arrive_in_order_and_survive_the_broker(
    new_publisher: NewPublisher, channel: Any, exchange: str
) -> None:
    publisher = new_publisher()
    publisher.publish(messages("0"))  # nobody wants it, which is no fault
    queue = Bound(channel, exchange)
    ids = [str(number) for number in range(1, 300)]
    publisher.publish(messages(*ids))
    first = queue.take()
    assert [first.properties["message_id"], *queue.ids()] == ids
    assert first.properties["delivery_mode"] == 2
    assert first.properties["content_type"] == "application/cloudevents+json"
    headers = first.properties["application_headers"]
    assert (headers["x-previous"], headers["traceparent"]) == ("7", TRACE)
    assert json.loads(first.body) == {}
    with pytest.raises(Exception, match="inequivalent arg 'type'"):
        other = channel.connection.channel()
        other.exchange_declare(exchange, "fanout", durable=True, auto_delete=False)


def test_a_refusal_is_said_once_and_the_connection_stays(
    new_publisher: NewPublisher,
    channel: Any,
    exchange: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    publisher = new_publisher()
    full = {"x-max-length": 1, "x-overflow": "reject-publish"}
    queue = Bound(channel, exchange, **full)
    publisher.publish(messages("a", "b"))  # one more than the limit: it is a bit late
    for _ in range(3):
        with pytest.raises(NotPublished, match="is full") as refused:
            publisher.publish(messages("c", "d"))
        assert refused.value.is_refused and refused.value.pause > 0
    (said,) = caplog.messages
    assert "a queue of a subscriber is full" in said
    assert queue.ids() == ["a", "b"]

    def accepted() -> bool:
        try:
            publisher.publish(messages("e"))
        except NotPublished:
            return False
        return True

    wait_until(accepted, "there is room again")
    assert "e" in queue.ids()
    assert caplog.messages[1:] == ["RabbitMQ accepts events again"]


def test_without_confirmation_it_is_not_published(
    new_publisher: NewPublisher,
    channel: Any,
    exchange: str,
    proxy: Proxy,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "CONFIRM_SECONDS", 0.3)
    publisher = new_publisher(port=proxy.port)
    queue = Bound(channel, exchange)
    proxy.stall(spill=0)
    with pytest.raises(NotPublished, match="no confirmation") as lost:
        publisher.publish(messages("a", "b"))
    assert not lost.value.is_refused
    proxy.flowing.set()
    publisher.publish(messages("a", "b"))
    assert queue.ids() == ["a", "b", "a", "b"]  # at least once


def test_a_lost_connection_is_noticed_while_it_waits(
    new_publisher: NewPublisher,
    proxy: Proxy,
    exchange: str,
    channel: Any,
) -> None:
    publisher = new_publisher(port=proxy.port)
    publisher.wait(0)
    proxy.cut()

    def is_lost() -> bool:
        try:
            publisher.wait(0.1)
        except NotPublished as error:
            return error.pause > 0
        return False

    wait_until(is_lost, "the loss", within=5)
    queue = Bound(channel, exchange)
    publisher.publish(messages("a"))
    assert queue.ids() == ["a"]


def test_a_broker_that_accepts_nothing_is_waited_for(
    new_publisher: NewPublisher,
    channel: Any,
    exchange: str,
    rabbitmq: Rabbit,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its disk is full: it reads no further messages."""
    monkeypatch.setattr(module, "CONFIRM_SECONDS", 1.0)
    publisher = new_publisher()
    queue = Bound(channel, exchange)

    def refusal() -> str:
        with pytest.raises(NotPublished) as refused:
            publisher.publish(messages("a"))
        return str(refused.value)

    # It takes seconds, in which the connection may miss its heartbeats.
    rabbitmq.set_alarm(is_full=True)
    blocked = "accepts no events: connection blocked"
    try:
        wait_until(lambda: blocked in refusal(), "it refuses messages")
    finally:
        rabbitmq.set_alarm(is_full=False)

    def accepted() -> bool:
        try:
            publisher.publish(messages("b"))
        except NotPublished:
            return False
        return True

    wait_until(accepted, "it accepts messages")
    assert queue.ids()[-1] == "b"


def test_an_idle_connection_stays(new_publisher: NewPublisher, proxy: Proxy) -> None:
    """The broker drops those that send no heartbeats for two seconds."""
    publisher = new_publisher(port=proxy.port)
    for _ in range(7):
        publisher.wait(0.5)
    assert proxy.accepted == 1


def test_waiting_ends_when_it_is_told(new_publisher: NewPublisher) -> None:
    publisher = new_publisher()
    publisher.interrupt()
    publisher.wait(60)


def test_a_broker_that_is_away_is_an_error_of_its_own(
    rabbitmq_settings: RabbitMQSettings, exchange: str
) -> None:
    own = rabbitmq_settings.model_copy(update={"port": 1})
    publisher = EventPublisher(own, RpcSettings(), exchange, "test")
    with closing(publisher), pytest.raises(NotPublished) as lost:
        publisher.open()
    assert 0 < lost.value.pause <= 2
