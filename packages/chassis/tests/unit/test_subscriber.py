"""A subscriber that stops, without a broker."""

import math
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, cast

import pytest

from chassis.errors import NoConsumer
from chassis.events import subscriber as module
from chassis.events.event import event_json
from chassis.events.handlers import Handler
from chassis.events.subscriber import EventSubscriber, new_subscriber
from chassis.events.topology import Subscription
from chassis.heartbeat import JointHeartbeat
from chassis.rpc.wire import Outcome, Request, Settlement
from chassis.settings import RabbitMQSettings, RpcSettings, ServiceSettings
from tests.unit.broker import WAIT, FakeConnection, Heart, replace_connections
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


class FakeInbox:
    """Its schema cannot be prepared at once."""

    def __init__(self, settings: Any, schema: str, tables: str) -> None:
        if settings.database_url is None:
            raise ValueError("EVENTS_DATABASE_URL: set the URL")
        self.asked = schema, tables
        self.told: list[str] = []
        self.fails = 2
        made.append(self)

    def prepare(self) -> None:
        if self.fails:
            self.fails -= 1
            raise ConnectionRefusedError("no")

    def lost(self, error: BaseException) -> None:
        self.told.append("lost")

    def restored(self) -> None:
        self.told.append("restored")

    def is_away(self, error: BaseException) -> bool:
        return False

    def prune(self) -> None: ...

    @contextmanager
    def receiving(self, subscription: str, event_id: str) -> Iterator[Any]:
        self.told.append(subscription)
        yield None


made: list[FakeInbox] = []


def subscriber(handle: Any, heart: Heart, **settings: Any) -> EventSubscriber:
    own = ServiceSettings.model_validate(settings)
    handler = Handler("record.*", handle)
    return new_subscriber(
        handler, own, heart, name="shop", shown="shown", tables="CREATE"
    )


def run(own: EventSubscriber, until: Callable[[], Any]) -> None:
    """Run it until that is so."""
    thread = threading.Thread(target=own.run, daemon=True)
    thread.start()
    ends = time.monotonic() + WAIT
    while not until() and time.monotonic() < ends:
        time.sleep(0.001)
    own.stop()
    thread.join(WAIT)
    assert not thread.is_alive() and time.monotonic() < ends


def test_it_subscribes_with_the_settings_of_its_service(
    outcomes: list[Settlement], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = replace_connections(monkeypatch, module, [FakeConnection()])

    class Asking(Intake):
        def __init__(self, connection: Any, subscription: Any, on_request: Any) -> None:
            super().__init__(connection, subscription, on_request)
            asked.append(subscription)

    monkeypatch.setattr(module, "EventIntake", Asking)
    seen, heart = [], Heart()
    given = {"events": {"exchange": "facts"}, "rabbitmq": {"host": "h"}}
    own = subscriber(lambda event: seen.append(event.id), heart, **given)
    run(own, lambda: outcomes)
    assert seen == ["1"] and outcomes == [Settlement.ACK]
    *connections, subscription = asked
    settings = ServiceSettings.model_validate(given)
    assert connections == [(settings.rabbitmq, settings.rpc, "shown")] * 2
    assert subscription == Subscription("shop", "record.*", "facts")
    assert heart.connected == [False, True, False]


def test_a_handler_with_a_cursor_waits_for_its_schema(
    outcomes: list[Settlement], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chassis.events.inbox.Inbox", FakeInbox)
    heart = Heart()
    given = {"events": {"database_url": "postgresql://h/d"}}
    own = subscriber(lambda event, cursor: None, heart, **given)
    run(own, lambda: outcomes)
    inbox = made.pop()
    assert inbox.asked == ("shop", "CREATE") and heart.beats >= 3
    name = "shop.events.record.*"
    assert inbox.told == ["lost", "lost", "restored", name, "restored"]


def test_a_stop_ends_the_wait_for_the_schema(
    outcomes: list[Settlement], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chassis.events.inbox.Inbox", FakeInbox)
    given = {"events": {"database_url": "postgresql://h/d"}}
    own = subscriber(lambda event, cursor: None, Heart(), **given)
    inbox = made.pop()
    inbox.fails = 1000
    run(own, lambda: inbox.told)
    assert set(inbox.told) == {"lost"} and not outcomes


def test_a_handler_with_a_cursor_needs_a_database(
    outcomes: list[Settlement], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chassis.events.inbox.Inbox", FakeInbox)
    monkeypatch.delenv("EVENTS_DATABASE_URL", raising=False)
    with pytest.raises(SystemExit, match="EVENTS_DATABASE_URL: set the URL"):
        subscriber(lambda event, cursor: None, Heart())


def test_over_redis_it_waits_and_says_that_none_come(
    outcomes: list[Settlement],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Its probes must not restart it."""
    redis = FakeConnection()
    redis.is_reliable = False
    monkeypatch.setattr(module, "new_connection", lambda *_: redis)
    heart = Heart()
    own = subscriber(lambda event: None, heart)
    run(own, lambda: heart.beats >= 2)
    assert heart.connected == [True] and not outcomes
    assert caplog.messages == [module.NO_EVENTS % "record.*"]
