"""Celery's configuration from the settings."""

import pytest
from pydantic import SecretStr

from app.core.redis_settings import CelerySettings
from app.infrastructure.celery import create_celery, create_publisher


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
            assert connection.ssl["ssl_cert_reqs"] == "none"
        assert "elsewhere" not in str(app.backend.as_uri())
