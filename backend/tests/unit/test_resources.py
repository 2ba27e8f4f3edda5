"""What an API process opens gets its settings, and is closed; no server is there."""

import gc
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from redis.asyncio import Redis

from app import application
from app import resources as module
from app.application import COLLECTOR, create_app
from app.core.budget import Budget
from app.core.config import Settings
from app.core.exceptions import DatabaseUnavailable
from app.core.idempotency import IdempotencyMiddleware
from app.core.redis_settings import CelerySettings
from app.infrastructure.identity.provider import Provider
from app.infrastructure.redis.key_store import KeyStore
from app.infrastructure.redis.request_counts import RequestCounts
from app.infrastructure.redis.task_states import TaskStates
from app.resources import health_checks, open_resources

# As they are closed.
PARTS = [
    *("EventFeed", "AsyncEventProducer", "TaskStates", "KeyStore", "RequestCounts"),
    *("HttpConnections", "Provider", "TaskPublisher", "GroupCommit", "Database"),
]
NOBODY = "127.0.0.1:1"
ENVIRONMENT = {
    "AUTH_ISSUER": f"http://{NOBODY}",
    "AUTH_AUDIENCE": "kit",
    "CELERY_KEY_PREFIX": "shop:",
    "CELERY_RESULT_BACKEND": f"redis://{NOBODY}/1",
    "EVENTS_EXCHANGE": "facts",
    "EVENTS_MAX_STREAMS": "7",
    "EVENTS_MAX_STREAMS_OF_CALLER": "3",
    "EVENTS_STREAM_MAX_SECONDS": "11",
    "IDEMPOTENCY_LEASE_SECONDS": "60",
    "IDEMPOTENCY_MAX_STORED_BYTES": "99",
    "IDEMPOTENCY_TTL_SECONDS": "70",
    "RABBITMQ_HOST": "127.0.0.1",
    "RABBITMQ_PORT": "1",
    "RATE_LIMIT_READ": "9/minute",
    "TRUST_SAMPLED_FLAG": "false",
}


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch) -> Settings:
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    return Settings()


async def test_everything_that_was_opened_is_closed(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its users first: what waits for a commit still gets one."""
    closed: list[str] = []

    def note(name: str, close: Any) -> Any:
        def noted(part: Any) -> Any:
            closed.append(name)
            return close(part)

        return noted

    for name in PARTS:
        kind = Provider if name == "Provider" else getattr(module, name)
        monkeypatch.setattr(kind, "close", note(name, kind.close))
    async with open_resources(settings, Budget(1)):
        assert not closed
    assert sorted(closed) == sorted(PARTS)
    assert closed[-2:] == PARTS[-2:]


@pytest.mark.parametrize(
    "make",
    [
        lambda: KeyStore(f"redis://{NOBODY}/0", lease=1, keep=1),
        lambda: RequestCounts(f"redis://{NOBODY}/0"),
        lambda: TaskStates(CelerySettings()),
    ],
    ids=["KeyStore", "RequestCounts", "TaskStates"],
)
async def test_what_is_closed_leaves_redis_no_connection(
    make: Callable[[], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Redis has room for so many clients; an idle one stays until it is told."""
    closed: list[Any] = []

    async def aclose(client: Any, *_: Any) -> None:
        closed.append(client)

    monkeypatch.setattr(Redis, "aclose", aclose)
    part = make()
    await part.close()
    assert closed == [part._redis]


async def test_each_part_has_its_settings(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: dict[str, Any] = {}

    def note(name: str, kind: Any) -> Any:
        def make(*values: Any, **named: Any) -> Any:
            made[name] = (*values, named)
            return kind(*values, **named)

        return make

    fields: list[str] = []
    fetches: list[Provider] = []
    warned: list[Settings] = []
    monkeypatch.setattr(module, "warn_of_shared_redis", warned.append)
    monkeypatch.setattr(module, "file_login", lambda _, field: fields.append(field))
    monkeypatch.setattr(Provider, "refresh", lambda own: fetches.append(own))
    for name in ("KeyStore", "RequestCounts", "EventFeed", "EventListener"):
        monkeypatch.setattr(module, name, note(name, getattr(module, name)))
    async with open_resources(settings, Budget(1)):
        listener = made["EventFeed"][2]
        listener(lambda _: None)
    assert fields == ["result_backend"] and warned == [settings]
    assert len(fetches) == 1
    url, keys = made["KeyStore"]
    assert url == f"redis://{NOBODY}/1"
    assert (keys["lease"], keys["keep"], keys["key_prefix"]) == (60, 70, "shop:")
    assert made["RequestCounts"][:2] == (url, "shop:")
    streams = made["EventFeed"][-1]
    assert (streams["max_streams"], streams["max_of_caller"]) == (7, 3)
    assert streams["stream_seconds"] == 11
    assert made["EventListener"][2] == "facts"


@pytest.fixture
def collector() -> Iterator[None]:
    before = gc.get_threshold()
    yield
    gc.set_threshold(*before)
    gc.unfreeze()


async def test_an_application_begins_and_ends_its_process(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, collector: None
) -> None:
    done: list[Any] = []
    names = "give_back_memory", "configure_logging", "instrument_api", "start_telemetry"
    for name in (*names, "stop_telemetry", "set_event_producer", "drain_on_signals"):

        def note(*_: Any, name: str = name, **options: Any) -> bool:
            done.append((name, options) if options else name)
            return True

        monkeypatch.setattr(application, name, note)
    app = create_app(settings)
    layers: list[Any] = app.user_middleware
    (kept,) = [each for each in layers if each.cls is IdempotencyMiddleware]
    assert kept.kwargs["max_stored_bytes"] == 99
    async with app.router.lifespan_context(app):
        edge = {"is_edge": True, "trusts_callers": False}
        telemetry = [("start_telemetry", edge), "instrument_api"]
        assert done[:2] == ["give_back_memory", "configure_logging"]
        assert done[2:] == [*telemetry, "set_event_producer", "drain_on_signals"]
        assert gc.get_threshold() == COLLECTOR
        done.clear()
    assert done == ["set_event_producer", "stop_telemetry"]


@pytest.mark.parametrize(
    ("refusal", "wait", "is_up"),
    [(None, 0.0, True), ("lost", 1.5, True), ("lost", 0.0, False)],
)
async def test_an_api_whose_calls_wait_for_the_next_connection_is_ready(
    refusal: str | None, wait: float, is_up: bool
) -> None:
    """When its node of RabbitMQ stops, no request fails."""

    async def check() -> None:
        raise DatabaseUnavailable("nobody is there")

    part: Any = SimpleNamespace(check=check)
    rpc: Any = SimpleNamespace(refusal=refusal, reconnect_wait=wait)
    report = await health_checks(part, rpc, part, part, None, part).report()
    assert report.parts["rabbitmq"].is_up is is_up
    assert not report.parts["postgresql"].is_up
