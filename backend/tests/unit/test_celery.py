"""Celery's configuration from the settings."""

import pytest

from app.core.redis_settings import CelerySettings
from app.infrastructure.celery import create_celery


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
