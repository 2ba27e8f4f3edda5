"""Celery's configuration from the settings."""

from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import pytest
from pydantic import SecretStr

from app.core.redis_settings import CelerySettings
from app.infrastructure.celery import create_celery, create_publisher
from app.tasks.consumer import NamedRequest


@pytest.mark.parametrize("variables, prefetch", [({}, 1), ({"MULTIPLIER": "4"}, 4)])
def test_prefetching_is_configurable(
    variables: dict[str, str], prefetch: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(f"CELERY_WORKER_PREFETCH_{name}", value)
    celery = create_celery(CelerySettings())
    assert celery.conf.worker_prefetch_multiplier == prefetch


def test_nobody_commands_a_worker_through_redis() -> None:
    celery = create_celery(CelerySettings())
    assert celery.conf.worker_enable_remote_control is False
    assert celery.conf.worker_send_task_events is False


def test_a_task_is_cancelled_without_redis() -> None:
    """Celery does so when Redis is lost."""
    away = SecretStr("redis://127.0.0.1:1/0")
    app = create_celery(CelerySettings(broker_url=away, result_backend=away))
    app.backend.retry_policy = {"max_retries": 0}
    headers = {"id": "t-1", "task": "t"}
    message = SimpleNamespace(headers=headers, delivery_info=None, properties=None)
    pool = Mock()

    @app.task(name="t")
    def task() -> None: ...

    request = NamedRequest(
        message, app=app, task=task, body=[[], {}, {}], decoded=True, headers=headers
    )
    request.time_start = 1.0
    request.cancel(pool)
    pool.terminate_job.assert_called_once()


def test_celery_reads_no_url_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """It would prefer the environment to what we have normalised, and verify nothing,
    or refuse `rediss://`."""
    url = SecretStr("rediss://there:6380/3?ssl_cert_reqs=none")
    for name in ("CELERY_BROKER_URL", "CELERY_RESULT_BACKEND"):
        monkeypatch.setenv(name, "rediss://elsewhere:1/2")
    settings = CelerySettings(broker_url=url, result_backend=url)
    for app in (create_celery(settings), create_publisher(settings)):
        for connection in (app.connection_for_write(), app.connection_for_read()):
            assert connection.as_uri() == "rediss://:**@there:6380/3"
            options: Any = connection.ssl
            assert options["ssl_cert_reqs"] == "none"
        assert "elsewhere" not in str(app.backend.as_uri())
