"""What processes report of queues and connections: each figure under its own name, and
those of a deployment from one process."""

from types import SimpleNamespace
from typing import Any

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from redis.exceptions import RedisError
from sqlalchemy.pool import QueuePool

from app.core.exceptions import BrokerUnavailable, DatabaseBusy, DatabaseUnavailable
from app.core.services import Service, ServiceRegistry
from app.infrastructure import queue_metrics
from app.infrastructure.postgres import pool_metrics
from app.repositories import data_repository
from app.repositories.relay_repository import Backlog
from app.tasks import event_metrics
from chassis.telemetry import tracing

SERVICES = ServiceRegistry((Service("echo", "echo_queue"),))


class Figures:
    """An exporter that is asked when a test wants it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._reader = InMemoryMetricReader()
        meter = MeterProvider([self._reader]).get_meter("test")
        monkeypatch.setattr(tracing, "meter", meter)
        monkeypatch.setattr(tracing, "is_enabled", lambda: True)

    def read(self, label: str) -> dict[str, dict[Any, Any]]:
        """The values by the name of the metric and the attribute."""
        data = self._reader.get_metrics_data()
        found = data.resource_metrics[0].scope_metrics[0].metrics if data else []
        return {
            metric.name: {
                (point.attributes or {}).get(label): getattr(point, "value", None)
                for point in metric.data.data_points
            }
            for metric in found
        }


@pytest.fixture
def figures(monkeypatch: pytest.MonkeyPatch) -> Figures:
    return Figures(monkeypatch)


class Management:
    """Has one of the service's two queues, and one of others."""

    def read_queues(self) -> dict[str, dict[str, Any]]:
        depth = {"messages": 7, "messages_ready": 4, "messages_unacknowledged": 3}
        acknowledged = {"consumers": 2, "message_stats": {"ack": 9}}
        return {"echo_queue": depth | acknowledged, "other": depth}


def test_queues_are_reported_by_state(figures: Figures) -> None:
    management: Any = Management()
    queue_metrics.watch_queues(management, SERVICES, lambda: True)
    found = figures.read(queue_metrics.STATE)
    states = {"ready": 4, "unacknowledged": 3}
    assert found["rabbitmq.queue.messages"] == states
    found = figures.read("messaging.destination.name")
    assert found["rabbitmq.queue.consumers"] == {"echo_queue": 2}
    assert found["rabbitmq.queue.acknowledged"] == {"echo_queue": 9}


def test_one_process_reports_queues_and_only_what_it_knows(
    figures: Figures, caplog: pytest.LogCaptureFixture
) -> None:
    """A sum over several processes would count each message several times."""
    management: Any = Management()
    queue_metrics.watch_queues(management, SERVICES, lambda: False)
    assert figures.read(queue_metrics.STATE) == {}

    def refuse() -> None:
        raise BrokerUnavailable("gone")

    management = SimpleNamespace(read_queues=refuse)
    queue_metrics.watch_queues(management, SERVICES, lambda: True)
    assert figures.read(queue_metrics.STATE) == {} and not caplog.records


def test_waiting_tasks_are_reported_by_queue(
    figures: Figures,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    failures: list[Exception] = []

    def count(queue: str) -> int:
        if failures:
            raise failures.pop()
        return len(queue)

    lists = SimpleNamespace(count_waiting=count)
    monkeypatch.setattr(queue_metrics, "TaskLists", lambda _: lists)
    settings: Any = None
    is_active = True
    queue_metrics.watch_tasks(settings, lambda: is_active)
    name = "messaging.destination.name"
    known = {"app.tasks.waiting": {"high": 4, "default": 7, "low": 3}}
    assert figures.read(name) == known
    for failure in (RedisError("full"), OSError("away")):
        failures.append(failure)
        assert figures.read(name) == {}
    is_active = False
    assert figures.read(name) == {} and not caplog.records


def test_connections_are_reported_by_state(figures: Figures) -> None:
    class Connection:
        def rollback(self) -> None: ...

        def close(self) -> None: ...

    connection: Any = Connection
    pool = QueuePool(connection)
    first, second, third = (pool.connect() for _ in range(3))
    url = SimpleNamespace(database="app", host="postgres")
    engine: Any = SimpleNamespace(pool=pool, url=url)
    pool_metrics.watch_pool(engine)
    first.close()
    found = figures.read(pool_metrics.STATE)
    assert found == {"db.client.connection.count": {"used": 2, "idle": 1}}
    for each in (second, third):
        each.close()


@pytest.mark.parametrize("changed", [True, False])
def test_work_that_has_ended_does_not_end_again(
    changed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted: list[Any] = []
    counter = SimpleNamespace(add=lambda *figures: counted.append(figures))
    monkeypatch.setattr(data_repository, "_ended", counter)
    monkeypatch.setattr(data_repository, "_execute", lambda *_: changed)
    engine: Any = None
    ending = data_repository.failure("lost", "It was lost.")
    assert data_repository.end_record(engine, "t-1", ending) is changed
    assert counted == [(1, {"app.task.status": "Failure"})] * changed


def test_the_active_beat_reports_the_backlog(
    figures: Figures,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """No value is better than a wrong one, and others log that a server is away."""
    failures = DatabaseUnavailable("away"), DatabaseBusy("full")
    answers: list[Any] = [Backlog(3, 1.5)] * 2

    def read(_: Any) -> Backlog:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return Backlog(answer.events, answer.seconds)

    monkeypatch.setattr(event_metrics, "read_backlog", read)
    engine: Any = None
    is_active = True
    event_metrics.watch_backlog(engine, lambda: is_active)
    known = {"app.events.waiting": {None: 3}, "app.events.lag": {None: 1.5}}
    assert figures.read("x") == known
    for failure in failures:
        answers += [failure] * 2
        assert figures.read("x") == {} and not answers
    assert not caplog.records
    answers += [Backlog(3, 1.5)] * 2
    is_active = False
    assert figures.read("x") == {}
