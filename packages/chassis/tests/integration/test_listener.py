"""Listening to the exchange, with a real broker."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from chassis.events.event import event_json
from chassis.events.listener import EventListener
from chassis.events.published import PublishedEvent
from chassis.events.publisher import EventMessage, EventPublisher
from chassis.settings import RabbitMQSettings, RpcSettings
from tests.integration.proxy import Proxy
from tests.integration.waiting import wait_until

EXCHANGE = "events"


@contextmanager
def listening(settings: RabbitMQSettings) -> Iterator[list[PublishedEvent]]:
    heard: list[PublishedEvent] = []
    listener = EventListener(settings, RpcSettings(), EXCHANGE, heard.append)
    listener.start()
    try:
        yield heard
    finally:
        listener.stop()
        listener.stop()  # twice is once
        listener.join()


@pytest.fixture
def publish(rabbitmq_settings: RabbitMQSettings) -> Iterator[Callable[[int], None]]:
    """Publishes an event with that sequence, and waits until the broker has it."""
    publisher = EventPublisher(rabbitmq_settings, RpcSettings(), EXCHANGE, "test")

    def send(sequence: int) -> None:
        body = event_json(
            sequence=sequence,
            data="{}",
            **{"id": "1", "source": "/x", "type": "record.x", "subject": "s"},
        ).encode()
        message = EventMessage(str(sequence), "record.x", body, sequence - 1, None)
        publisher.publish([message])

    yield send
    publisher.close()


def hear(
    heard: list[PublishedEvent], publish: Callable[[int], None], begin: int
) -> None:
    """Publish until the listener is there; then nothing is missing.

    Earlier events may still arrive: only one from ``begin`` on tells.
    """
    sequences = iter(range(begin, begin + 1000))

    def is_heard() -> bool:
        publish(next(sequences))
        return any(event.sequence >= begin for event in heard)

    wait_until(is_heard, "an event")


def test_each_process_hears_every_event(
    rabbitmq_settings: RabbitMQSettings, publish: Callable[[int], None]
) -> None:
    with (
        listening(rabbitmq_settings) as heard,
        listening(rabbitmq_settings) as other,
    ):
        hear(heard, publish, 1)
        hear(other, publish, 2000)
        for sequence in (5000, 5001):
            publish(sequence)
        for each in (heard, other):
            wait_until(lambda: [e.sequence for e in each][-2:] == [5000, 5001], "both")
            assert each[-1].previous == 5000
            assert json.loads(each[-1].text)["type"] == each[-1].type == "record.x"


def test_a_listener_comes_back(
    rabbitmq_settings: RabbitMQSettings,
    publish: Callable[[int], None],
    proxy: Proxy,
) -> None:
    near = rabbitmq_settings.model_copy(
        update={"host": "127.0.0.1", "port": proxy.port}
    )
    with listening(near) as heard:
        hear(heard, publish, 1)
        proxy.cut()
        hear(heard, publish, 2000)
