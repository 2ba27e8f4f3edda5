"""A real broker keeps the limits of the queues; here they are small."""

import time
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import amqp
import pytest
from amqp.exceptions import MessageNacked

from chassis.events import topology as event_topology
from chassis.events.topology import Subscription
from chassis.rpc import topology
from chassis.rpc.topology import RequestQueue
from chassis.settings import RabbitMQSettings
from tests.integration.responder import connect
from tests.integration.waiting import wait_until


class Queues:
    """A service's queues without a service."""

    def __init__(self, channel: Any) -> None:
        self.channel = channel
        self.requests = RequestQueue(f"limited_{uuid4().hex[:8]}")
        self.dead_letters = self.requests.dead_letter_name

    def publish(self, queue: str, body: bytes, exchange: str = "") -> bool:
        """Whether the broker accepts it."""
        try:
            self.channel.basic_publish_confirm(amqp.Message(body), exchange, queue)
        except MessageNacked:
            return False
        return True

    def depth(self, queue: str) -> int:
        return int(self.channel.queue_declare(queue, passive=True)[1])

    def take(self, queue: str) -> bytes:
        message = self.channel.basic_get(queue, no_ack=True)
        assert message is not None
        return bytes(message.body)

    def declare(self) -> None:
        self.requests.declare(self.channel)

    def delete(self) -> None:
        for name in (self.requests.name, self.dead_letters):
            self.channel.queue_delete(name)


@pytest.fixture
def queues(rabbitmq_settings: RabbitMQSettings) -> Iterator[Queues]:
    with connect(rabbitmq_settings) as connection:
        channel: Any = connection.channel()
        channel.auto_decode = False
        queues = Queues(channel)
        yield queues
        queues.delete()


# RabbitMQ 4.x also counts a message's properties, some tens of bytes: room for three
# and a half bodies means three messages for both.
BODY = b"x" * 1000
THREE_BODIES = 3 * len(BODY) + len(BODY) // 2

LENGTH = pytest.mark.budget("topology.MAX_LENGTH")
BYTES = pytest.mark.budget("topology.MAX_BYTES")
WAITING = pytest.mark.budget("topology.MAX_WAITING")
WAITING_BYTES = pytest.mark.budget("topology.MAX_WAITING_BYTES")
DEAD_LETTERS = pytest.mark.budget("topology.MAX_DEAD_LETTERS")
DEAD_LETTER_BYTES = pytest.mark.budget("topology.MAX_DEAD_LETTER_BYTES")


@pytest.mark.promise(
    "ARCHITECTURE.md",
    "When it is full, the broker rejects requests, and callers get a 503 with "
    "`Retry-After`.",
)
@pytest.mark.parametrize(
    ("name", "limit"),
    [
        pytest.param("MAX_LENGTH", 3, marks=LENGTH),
        pytest.param("MAX_BYTES", THREE_BODIES, marks=BYTES),
    ],
)
def test_a_full_queue_refuses_requests(
    queues: Queues, monkeypatch: pytest.MonkeyPatch, name: str, limit: int
) -> None:
    """A quorum queue counts before it accepts: one request exceeds the limit."""
    monkeypatch.setattr(topology, name, limit)
    queues.declare()
    queue = queues.requests.name
    accepted = [queues.publish(queue, BODY) for _ in range(6)]
    assert accepted == [True] * 4 + [False] * 2
    queues.take(queue)
    queues.take(queue)
    wait_until(lambda: queues.publish(queue, BODY), "there is room again")


@pytest.mark.parametrize(
    ("name", "limit"),
    [
        pytest.param("MAX_DEAD_LETTERS", 3, marks=DEAD_LETTERS),
        pytest.param("MAX_DEAD_LETTER_BYTES", THREE_BODIES, marks=DEAD_LETTER_BYTES),
    ],
)
def test_the_oldest_dead_letters_are_dropped(
    queues: Queues, monkeypatch: pytest.MonkeyPatch, name: str, limit: int
) -> None:
    monkeypatch.setattr(topology, name, limit)
    queues.declare()
    queue, bodies = queues.dead_letters, [b"%01000d" % number for number in range(4)]
    assert all(queues.publish(queue, body) for body in bodies[:3])
    assert queues.depth(queue) == 3
    assert queues.publish(queue, bodies[3])
    wait_until(lambda: queues.depth(queue) == 3, "the oldest is dropped")
    assert [queues.take(queue) for _ in range(3)] == bodies[1:]


@pytest.mark.parametrize(
    ("name", "limit"),
    [
        pytest.param("MAX_WAITING", 3, marks=WAITING),
        pytest.param("MAX_WAITING_BYTES", THREE_BODIES, marks=WAITING_BYTES),
    ],
)
def test_a_full_queue_of_events_refuses_them(
    queues: Queues, monkeypatch: pytest.MonkeyPatch, name: str, limit: int
) -> None:
    monkeypatch.setattr(event_topology, name, limit)
    own = Subscription(queues.requests.name, "a.*", queues.requests.name)
    own.declare(queues.channel)
    for queue in (own.name, own.retry_queue):
        accepted = [queues.publish(queue, BODY) for _ in range(6)]
        assert accepted == [True] * 4 + [False] * 2
    # The exchange says so too: the relay does not lose the event.
    assert not queues.publish("a.b", BODY, own.exchange)
    assert queues.publish("other.b", BODY, own.exchange)


@pytest.mark.budget("topology.DEAD_LETTER_DAYS")
def test_old_dead_letters_are_dropped(
    queues: Queues, monkeypatch: pytest.MonkeyPatch
) -> None:
    seconds = 1.0
    monkeypatch.setattr(topology, "DEAD_LETTER_DAYS", seconds / (24 * 60 * 60))
    queues.declare()
    queue, began = queues.dead_letters, time.monotonic()
    assert queues.publish(queue, BODY)
    wait_until(lambda: queues.depth(queue) == 0, "it is dropped")
    assert time.monotonic() - began > 0.9 * seconds
