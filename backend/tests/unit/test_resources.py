"""What an API process opens gets its settings, and is closed; no server is there."""

from typing import Any

import pytest

from app import resources as module
from app.core.budget import Budget
from app.core.config import Settings
from app.infrastructure.identity.provider import Provider
from app.resources import open_resources

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
    "IDEMPOTENCY_TTL_SECONDS": "70",
    "RABBITMQ_HOST": "127.0.0.1",
    "RABBITMQ_PORT": "1",
    "RATE_LIMIT_READ": "9/minute",
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
