"""Queue depths, and what they say about the services."""

import asyncio
import threading
from types import SimpleNamespace
from typing import Any, cast

import pytest

from app.core.exceptions import BrokerUnavailable
from app.core.health import PartState
from app.core.services import Service, ServiceRegistry
from app.infrastructure.rabbitmq_management import ManagementApi
from app.services import metrics_service
from app.services.metrics_service import MetricsService

SERVICES = ServiceRegistry(
    tuple(Service(name, f"{name}_queue") for name in ("echo", "trial_list"))
)


class Management:
    """Answers as a test says."""

    def __init__(self, *queues: dict[str, Any]) -> None:
        self.queues = {queue["name"]: queue for queue in queues}
        self.asked = 0

    def read_queues(self) -> dict[str, dict[str, Any]]:
        self.asked += 1
        return self.queues


def service(management: Any) -> MetricsService:
    statistics = SimpleNamespace(
        latency=lambda: SimpleNamespace(count=4, avg=0.3, p50=0.2, p95=0.5),
        timeouts=1,
    )
    rpc: Any = SimpleNamespace(statistics=statistics, in_flight=2)
    return MetricsService(rpc, cast(ManagementApi, management), SERVICES)


async def test_one_request_reads_the_depths_of_all_services() -> None:
    depth = {"messages": 3, "messages_ready": 1, "messages_unacknowledged": 2}
    management = Management(
        {"name": "echo_queue", "consumers": 1, **depth}, {"name": "echo_queue_dlq"}
    )
    metrics = await service(management).read()
    assert management.asked == 1
    assert metrics.queues is not None
    shown = {n: d and d.model_dump() for n, d in metrics.queues.items()}
    assert shown == {
        "echo_queue": depth,
        "echo_queue_dlq": dict.fromkeys(depth, 0),
        "trial_list_queue": None,
        "trial_list_queue_dlq": None,
    }


async def test_the_calls_of_this_process() -> None:
    rpc = (await service(Management()).read()).rpc
    latency = {"count": 4, "avg": 0.3, "p50": 0.2, "p95": 0.5}
    assert rpc.model_dump() == {
        "latency": latency,
        "timeouts_total": 1,
        "in_flight": 2,
    }


async def test_a_service_is_down_without_its_queue_or_a_consumer() -> None:
    management = Management({"name": "echo_queue", "consumers": 0})
    states = await service(management).read_services()
    assert states == {
        "echo-service": PartState(
            False, "Nothing consumes echo_queue: the service is not running."
        ),
        "trial-list-service": PartState(
            False, "The queue trial_list_queue does not exist."
        ),
    }
    management = Management(
        {"name": "echo_queue", "consumers": 2}, {"name": "trial_list_queue"}
    )
    states = await service(management).read_services()
    assert states["echo-service"] == PartState(True)
    assert states["trial-list-service"].is_up
    assert "unknown" in (states["trial-list-service"].detail or "")
    assert management.asked == 1


async def test_services_stay_up_without_the_management_api(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    released = threading.Event()

    def refuse() -> None:
        raise BrokerUnavailable("gone")

    def hang() -> dict[str, Any]:
        released.wait(10)
        return {}

    monkeypatch.setattr(metrics_service, "CHECK_TIMEOUT", 0.05)
    for read in (refuse, hang):
        states = await service(SimpleNamespace(read_queues=read)).read_services()
        assert {state.is_up for state in states.values()} == {True}
        assert all("unknown" in (state.detail or "") for state in states.values())
    released.set()
    metrics = await service(SimpleNamespace(read_queues=refuse)).read()
    assert (metrics.queues, metrics.queues_error) == (None, "gone")
    await asyncio.sleep(0)
