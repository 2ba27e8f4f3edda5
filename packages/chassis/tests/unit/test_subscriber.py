"""A subscriber that stops, without a broker."""

import math
import threading
from collections.abc import Callable, Iterator
from typing import Any, cast

import pytest

from chassis.errors import NoConsumer
from chassis.events import subscriber as module
from chassis.events.event import event_json
from chassis.events.handlers import Handler
from chassis.events.subscriber import EventSubscriber
from chassis.events.topology import Subscription
from chassis.heartbeat import JointHeartbeat
from chassis.rpc.wire import Outcome, Request, Settlement
from chassis.settings import RabbitMQSettings, RpcSettings
from tests.unit.broker import FakeConnection
from tests.unit.deliveries import make_request

EVENT = event_json(
    **{"id": "1", "source": "/x", "type": "record.x", "subject": "s"},
    time="2026-01-01T00:00:00+00:00",
    sequence=1,
    data="{}",
)


class Intake:
    """Delivers one event, and notes what becomes of it."""

    errors = (ConnectionError,)
    flush_at = math.inf
    queue_name = "queue"
    is_full = is_behind = False
    outcomes: list[Settlement] = []

    def __init__(self, _: object, __: object, on_request: Callable[[Request], None]):
        self.connection = FakeConnection()
        self._on_request = on_request

    def open(self) -> None:
        self._on_request(make_request(EVENT.encode(), intake=self))

    def send(self, outcomes: list[tuple[Request, Outcome]]) -> None:
        self.outcomes += [outcome.settlement for _, outcome in outcomes]

    def receive(self) -> None: ...

    def flush(self) -> None: ...

    def cancel(self) -> None: ...

    def close(self) -> None: ...


@pytest.fixture
def outcomes(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Settlement]]:
    monkeypatch.setattr(module, "EventIntake", Intake)
    monkeypatch.setattr(module, "connections", lambda *_: iter([None]))
    monkeypatch.setattr(module, "new_connection", lambda *_: FakeConnection())
    found: list[Settlement] = []
    monkeypatch.setattr(Intake, "outcomes", found)
    yield found


class Heartbeat:
    """Stops its subscriber after some signs of life."""

    def __init__(self, enough: int) -> None:
        self.enough = enough
        self.connected: list[bool] = []
        self.subscriber: EventSubscriber

    def touch(self) -> None:
        self.enough -= 1
        if not self.enough:
            self.subscriber.stop()

    def set_connected(self, connected: bool) -> None:
        self.connected.append(connected)


class Away:
    """An inbox whose PostgreSQL is away."""

    def prepare(self) -> None:
        raise ConnectionError

    def lost(self, error: BaseException) -> None: ...


@pytest.mark.parametrize("has_broker", [True, False])
def test_a_service_that_waits_lives(
    outcomes: list[Settlement], monkeypatch: pytest.MonkeyPatch, has_broker: bool
) -> None:
    """For PostgreSQL, or for ever: Redis has no events. Then it is ready all the
    same, for its requests."""
    monkeypatch.setattr(FakeConnection, "is_reliable", has_broker)
    heartbeat, inbox = Heartbeat(3), Away()
    heartbeat.subscriber = EventSubscriber(
        Subscription("shop", "record.*"),
        Handler("record.*", print),
        cast(Any, inbox),
        service_name="shop",
        rabbitmq=RabbitMQSettings(),
        rpc=RpcSettings(),
        shutdown_grace_seconds=60,
        heartbeat=heartbeat,
    )
    heartbeat.subscriber.run()
    assert heartbeat.enough == 0
    assert heartbeat.connected == ([] if has_broker else [True])


def test_stopping_ends_the_wait_for_what_a_handler_calls(
    outcomes: list[Settlement],
) -> None:
    """Long before the grace is over; the event returns to its queue."""
    called = threading.Event()

    def handle(event: Any) -> None:
        called.set()
        raise NoConsumer("the other service is away")

    (heartbeat,) = JointHeartbeat(None, 1).parts
    subscriber = EventSubscriber(
        Subscription("shop", "record.*"),
        Handler("record.*", handle),
        None,
        service_name="shop",
        rabbitmq=RabbitMQSettings(),
        rpc=RpcSettings(),
        shutdown_grace_seconds=60,
        heartbeat=heartbeat,
    )
    thread = threading.Thread(target=subscriber.run, daemon=True)
    thread.start()
    assert called.wait(10)
    subscriber.stop()
    thread.join(10)
    assert not thread.is_alive()
    assert outcomes == [Settlement.REQUEUE]
