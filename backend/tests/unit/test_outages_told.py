"""Each user of a server logs an outage, once: what goes on without the server would
otherwise leave no trace of it."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from celery.beat import Scheduler, SchedulingError
from celery.worker.consumer import Consumer
from redis.exceptions import ConnectionError as ConnectionLost

from app.core.auth_settings import AuthSettings
from app.core.exceptions import BrokerUnavailable
from app.core.redis_settings import CelerySettings
from app.infrastructure.celery_publishing import TidyCelery
from app.infrastructure.identity.provider import Provider
from app.infrastructure.task_publisher import TaskPublisher
from app.tasks import beat, consumer, data, maintenance
from app.tasks.beat import LivingScheduler
from app.tasks.consumer import PromptConsumer
from chassis.outages import Outage

AWAY = "it is away"


def fail(*_: object, **__: object) -> None:
    raise ConnectionLost(AWAY)


@pytest.fixture(autouse=True)
def first_outages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Other tests had outages of the module's own."""
    for module in (beat, consumer, maintenance):
        monkeypatch.setattr(module, "_redis", Outage("Redis"))
    monkeypatch.setattr(data, "_states", Outage("Redis"))


def run_a_periodic_task(_: pytest.MonkeyPatch) -> None:
    maintenance.servers_needed()(fail)()


def note_a_state(_: pytest.MonkeyPatch) -> None:
    backend: Any = SimpleNamespace(
        get_key_for_task=str,
        encode=str,
        expires=1,
        client=SimpleNamespace(execute_command=fail),
    )
    task: Any = SimpleNamespace(backend=backend, request=SimpleNamespace(id="1"))
    data._note_state(task, "STARTED")


def find_no_broker(_: pytest.MonkeyPatch) -> None:
    own = PromptConsumer.__new__(PromptConsumer)
    own.on_connection_error_before_connected(ConnectionLost(AWAY))


def lose_the_broker(monkeypatch: pytest.MonkeyPatch) -> None:
    name = "on_connection_error_after_connected"
    monkeypatch.setattr(Consumer, name, lambda *_: None)
    getattr(PromptConsumer.__new__(PromptConsumer), name)(ConnectionLost(AWAY))


def connect_again(_: pytest.MonkeyPatch) -> None:
    def connect(errback: Callable[[Exception, float], None], **_: object) -> None:
        errback(ConnectionLost(AWAY), 1)

    consumer._connect(connect, None)


def scheduler(monkeypatch: pytest.MonkeyPatch, **lease: object) -> Any:
    own: Any = LivingScheduler.__new__(LivingScheduler)
    monkeypatch.setattr(LivingScheduler, "touch", lambda _: None)
    own._lease, own._is_active = SimpleNamespace(**lease), True
    return own


def renew_the_lease(monkeypatch: pytest.MonkeyPatch) -> None:
    assert scheduler(monkeypatch, renew=fail).tick() == beat.LOOK_SECONDS


def send_a_due_task(
    monkeypatch: pytest.MonkeyPatch, send: Callable[..., None] = fail
) -> None:
    monkeypatch.setattr(Scheduler, "apply_async", send)
    entry = SimpleNamespace(name="sweep", task="sweep")
    own = scheduler(monkeypatch, is_held=lambda: True)
    own.apply_entry(entry, producer=SimpleNamespace())


def send_as_celery_does(monkeypatch: pytest.MonkeyPatch) -> None:
    def send(*_: object, **__: object) -> None:
        try:
            fail()
        except ConnectionLost:
            raise SchedulingError("could not") from None

    send_a_due_task(monkeypatch, send)


def connect_a_beat(monkeypatch: pytest.MonkeyPatch) -> None:
    def connect(waiting: Callable[[Exception, float], None], **_: object) -> object:
        waiting(ConnectionLost(AWAY), 1)
        return object()

    own = scheduler(monkeypatch)
    own.connection = SimpleNamespace(ensure_connection=connect)
    monkeypatch.setattr(beat, "Producer", lambda *_, **__: None)
    own.producer  # noqa: B018 - it connects


@pytest.mark.parametrize(
    "attempt",
    [
        *(run_a_periodic_task, note_a_state, find_no_broker, lose_the_broker),
        *(connect_again, renew_the_lease, send_a_due_task, send_as_celery_does),
        connect_a_beat,
    ],
)
def test_an_outage_of_redis_is_told_once(
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    attempt: Callable[[pytest.MonkeyPatch], None],
) -> None:
    for _ in range(2):
        attempt(monkeypatch)
    assert len([each for each in caplog.messages if "o connection to" in each]) == 1


def test_a_publisher_tells_it_once_too(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(TidyCelery, "producer_or_acquire", fail)
    publisher = TaskPublisher(CelerySettings())
    for _ in range(2):
        with pytest.raises(BrokerUnavailable):
            publisher.publish_batch([])
    publisher.close()
    assert len(caplog.messages) == 1 and AWAY in caplog.text


async def test_an_outage_of_the_identity_provider_is_told_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    provider = Provider(AuthSettings(issuer="http://127.0.0.1:1", audience="kit"))
    for _ in range(2):
        await provider._fetch()
    await provider.close()
    assert len(caplog.messages) == 1 and "identity provider" in caplog.text
