"""Figures of the queues, for tuning backpressure and for health."""

import asyncio
import os
import socket
from collections.abc import Mapping

from app.core.exceptions import BrokerUnavailable
from app.core.health import CHECK_TIMEOUT, PartState
from app.core.services import Service, ServiceRegistry
from app.infrastructure.rabbitmq_management import ManagementApi, QueueFigures
from app.models.schemas import Metrics, QueueDepth, RpcLatency, RpcMetrics
from chassis.rpc.client import RpcClient


class MetricsService:
    """The queue of every service and its dead letters, and the calls of this process.

    RabbitMQ's management API is asked once for all of them.
    """

    def __init__(
        self, rpc: RpcClient, management: ManagementApi, services: ServiceRegistry
    ) -> None:
        self._rpc = rpc
        self._management = management
        self._services = services

    async def read(self) -> Metrics:
        """Answers also when the management API does not, within its time-out."""
        queues, error = None, None
        try:
            figures = await asyncio.to_thread(self._management.read_queues)
            names = [
                name for s in self._services for name in (s.queue, s.dead_letter_queue)
            ]
            queues = {name: _depth(figures.get(name)) for name in names}
        except BrokerUnavailable as unavailable:
            error = unavailable.detail
        statistics = self._rpc.statistics
        latency = statistics.latency()
        return Metrics(
            instance=f"{socket.gethostname()}:{os.getpid()}",
            queues=queues,
            queues_error=error,
            rpc=RpcMetrics(
                latency=RpcLatency(
                    count=latency.count,
                    avg=latency.avg,
                    p50=latency.p50,
                    p95=latency.p95,
                ),
                timeouts_total=statistics.timeouts,
                in_flight=self._rpc.in_flight,
            ),
        )

    async def read_services(self) -> Mapping[str, PartState]:
        """Whether each service waits at its queue; up if nobody can say.

        The figures are a few seconds old.
        """
        try:
            async with asyncio.timeout(CHECK_TIMEOUT):
                figures = await asyncio.to_thread(self._management.read_queues)
        except (BrokerUnavailable, TimeoutError):
            unknown = PartState(True, "not known: the management API does not answer")
            return {_part(service): unknown for service in self._services}
        return {_part(s): _state(s, figures.get(s.queue)) for s in self._services}


def _part(service: Service) -> str:
    return f"{service.name.replace('_', '-')}-service"


def _state(service: Service, figures: QueueFigures | None) -> PartState:
    if figures is None:
        return PartState(False, f"The queue {service.queue} does not exist.")
    consumers = figures.get("consumers")
    if consumers is None:
        return PartState(True, f"not known: no figures of {service.queue} yet")
    if not consumers:
        return PartState(False, f"Nobody consumes {service.queue}.")
    return PartState(True)


def _depth(figures: QueueFigures | None) -> QueueDepth | None:
    if figures is None:
        return None
    names = QueueDepth.model_fields
    return QueueDepth(**{name: figures.get(name, 0) for name in names})
