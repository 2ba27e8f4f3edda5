"""Celery's configuration from the settings."""

from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import pytest
from celery import Celery
from celery.exceptions import SoftTimeLimitExceeded
from celery.signals import after_task_publish
from kombu.utils.scheduling import cycle_by_name
from pydantic import SecretStr

from app.core.exceptions import DeadlineExceeded, Unavailable
from app.core.redis_settings import LONGEST_RETRY_DELAY, CelerySettings
from app.infrastructure.celery import QUEUES, create_celery, create_publisher
from app.infrastructure.celery_retries import RetriedTask
from app.tasks.consumer import NamedRequest


@pytest.mark.parametrize("variables, prefetch", [({}, 1), ({"MULTIPLIER": "4"}, 4)])
def test_prefetching_is_configurable(
    variables: dict[str, str], prefetch: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(f"CELERY_WORKER_PREFETCH_{name}", value)
    celery = create_celery(CelerySettings())
    assert celery.conf.worker_prefetch_multiplier == prefetch


@pytest.mark.promise("docs/TASKS.md", "Workers acknowledge a task after it ends.")
def test_a_task_is_acknowledged_when_it_has_ended() -> None:
    """The loss of its child counts as an attempt, and is no end."""
    conf = create_celery(CelerySettings()).conf
    assert conf.task_acks_late and conf.task_retry_on_worker_lost
    assert conf.worker_cancel_long_running_tasks_on_connection_loss
    # A thread goes on: its task would run twice.
    threads = create_celery(CelerySettings(worker_pool="threads")).conf
    assert not threads.worker_cancel_long_running_tasks_on_connection_loss


@pytest.mark.promise(
    "docs/TASKS.md",
    '`"priority": "high"`, `"default"` or `"low"` in the request selects the queue; a '
    "free worker checks them in this order.",
)
def test_a_free_worker_asks_the_queues_in_order_of_priority() -> None:
    """Also after it has found a task, or none, in the others."""
    conf = create_celery(CelerySettings()).conf
    order = cycle_by_name(conf.broker_transport_options["queue_order_strategy"])
    names = [queue.name for queue in conf.task_queues]
    queues = order(names)
    for last in (None, "low", "high", "default"):
        if last:
            queues.rotate(last)
        assert tuple(queues.consume(3)) == QUEUES == ("high", "default", "low")
    # One list for each queue: sweep and metrics look there.
    assert conf.broker_transport_options["priority_steps"] == [0]


def test_the_span_of_a_failed_publish_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """OpenTelemetry's instrumentation waits for this signal."""
    celery, ended = create_publisher(CelerySettings()), []

    def note(headers: dict[str, str], **_: Any) -> None:
        ended.append(headers["id"])

    monkeypatch.setattr(Celery, "send_task", Mock(side_effect=OSError))
    after_task_publish.connect(note)
    try:
        with pytest.raises(OSError):
            celery.send_task("some.task", task_id="t-1")
    finally:
        after_task_publish.disconnect(note)
    assert ended == ["t-1"]


@pytest.mark.promise("ARCHITECTURE.md", "Messages and tasks are JSON, never pickle.")
def test_tasks_are_json() -> None:
    conf = create_celery(CelerySettings()).conf
    assert conf.task_serializer == conf.result_serializer == "json"
    assert set(conf.accept_content) == {"json"}
    assert not conf.result_accept_content


@pytest.mark.promise("docs/TASKS.md", "Each must be longer than the one before.")
def test_no_retry_waits_longer_than_the_visibility_timeout_allows() -> None:
    settings = CelerySettings()
    app = create_celery(settings)
    shown = app.conf.broker_transport_options["visibility_timeout"]
    assert shown == settings.visibility_timeout_seconds
    longest = RetriedTask.retry_backoff_max
    assert longest == LONGEST_RETRY_DELAY
    assert app.conf.task_time_limit + longest < shown
    assert app.conf.task_soft_time_limit < app.conf.task_time_limit
    # Otherwise the delays do not grow, or all tasks come back at once.
    assert RetriedTask.retry_backoff and getattr(RetriedTask, "retry_jitter", True)


@pytest.mark.promise(
    "docs/TASKS.md", "Processes refuse to start if the settings break this order."
)
@pytest.mark.parametrize(
    ("clocks", "wrong"),
    [
        ((60, 75, 75 + LONGEST_RETRY_DELAY + 1), None),
        ((60, 75, 75 + LONGEST_RETRY_DELAY), "CELERY_VISIBILITY_TIMEOUT_SECONDS"),
        ((75, 75, 180), "CELERY_TASK_SOFT_TIME_LIMIT_SECONDS"),
    ],
)
def test_clocks_in_another_order_are_refused(
    clocks: tuple[int, int, int], wrong: str | None
) -> None:
    soft, hard, visibility = clocks
    with pytest.raises(ValueError, match=wrong) if wrong else nullcontext():
        CelerySettings(
            task_soft_time_limit_seconds=soft,
            task_time_limit_seconds=hard,
            visibility_timeout_seconds=visibility,
        )


def test_redis_that_hangs_or_refuses_ends_no_worker() -> None:
    settings = CelerySettings()
    conf = create_celery(settings).conf
    assert (
        conf.broker_channel_error_retry and conf.broker_connection_max_retries is None
    )
    for options in (
        conf.broker_transport_options,
        create_publisher(settings).conf.broker_transport_options,
    ):
        assert 0 < options["socket_connect_timeout"] < 5
    assert 0 < options["socket_timeout"] < 5 and options["max_retries"] == 1
    # kombu asks an idle connection every 25 s.
    assert 0 < conf.broker_transport_options["health_check_interval"] < 10


@pytest.mark.promise("docs/SECURITY.md", "Workers take no commands from Redis")
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


@pytest.mark.promise(
    "docs/TASKS.md",
    "`Unavailable` (broker, queue, database), `DeadlineExceeded` and the soft time "
    "limit cause a retry, up to `CELERY_TASK_MAX_RETRIES` times",
)
@pytest.mark.parametrize(
    "failure", [Unavailable("away"), DeadlineExceeded("late"), SoftTimeLimitExceeded()]
)
def test_any_task_tries_again_what_may_succeed_later(failure: Exception) -> None:
    app = create_celery(CelerySettings(task_max_retries=2))
    attempts: list[int] = []

    @app.task(name="own", shared=False)
    def task() -> None:
        attempts.append(len(attempts))
        raise failure

    task.apply()
    assert attempts == [0, 1, 2]


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


@pytest.mark.parametrize("name", ["CELERY_BROKER_URL", "CELERY_RESULT_BACKEND"])
def test_only_a_url_from_a_file_loses_its_login(
    name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The file is read for each connection, and redis-py refuses two logins."""
    (tmp_path / "url").write_text("redis://:of-a-file@h/0")
    for variable in ("CELERY_BROKER_URL", "CELERY_RESULT_BACKEND"):
        monkeypatch.setenv(variable, "redis://:in-the-url@h/0")
    monkeypatch.delenv(name)
    monkeypatch.setenv(f"{name}_FILE", str(tmp_path / "url"))
    app = create_celery(CelerySettings())
    urls = {
        "CELERY_BROKER_URL": app.conf.broker_url,
        "CELERY_RESULT_BACKEND": app.backend_cls,
    }
    assert {name for name, url in urls.items() if "@" not in str(url)} == {name}


def test_each_connection_to_the_broker_has_the_login() -> None:
    """Workers read, and everyone who publishes writes."""
    login: Any = object()
    app: Any = create_celery(CelerySettings())
    for given in (None, login):
        app.broker_login = given
        for connection in (app.connection_for_read(), app.connection_for_write()):
            assert connection.credential_provider is given
