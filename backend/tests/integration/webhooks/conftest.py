"""A client of the API, and a receiver, for every test."""

from collections.abc import Iterator

import pytest
from celery import Celery
from fastapi.testclient import TestClient

from app.application import create_app
from app.core.config import Settings
from app.core.webhook_settings import WebhookSettings
from app.tasks import webhooks
from tests.integration.hooks import Hook
from tests.integration.webhooks.sending import sql

MOST = 8
SECONDS = 4  # of an attempt


@pytest.fixture
def settings(settings: Settings) -> Settings:
    own = WebhookSettings(
        allowed_networks="127.0.0.0/8",
        timeout_seconds=SECONDS,
        max_body_bytes=2048,
        max_per_owner=MOST,
    )
    return settings.model_copy(update={"webhooks": own})


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """A run completes what is due, on a busy machine too."""
    monkeypatch.setattr(webhooks, "RUN_SECONDS", 60.0)


@pytest.fixture
def hook() -> Iterator[Hook]:
    with Hook().running() as hook:
        yield hook


@pytest.fixture
def client(settings: Settings, worker: Celery) -> Iterator[TestClient]:
    with TestClient(create_app(settings)) as client:
        yield client
        sql("DELETE FROM webhooks")
