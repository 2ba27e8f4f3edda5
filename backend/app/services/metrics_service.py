"""Metrics of the queues, for tuning backpressure and for health."""

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
    """The queues and dead letters of every service, and the calls of this process.

    One request to RabbitMQ's management API reads them all.
    """

    def __init__(
        self, rpc: RpcClient, management: ManagementApi, services: ServiceRegistry
    ) -> None:
        self._rpc = rpc
        self._management = management
        self._services = services

    async def read(self) -> Metrics:
        """Also answers when the management API does not, after its timeout."""
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
        """Whether each service consumes its queue; up if that is unknown.

        The values are a few seconds old.
        """
        try:
            async with asyncio.timeout(CHECK_TIMEOUT):
                figures = await asyncio.to_thread(self._management.read_queues)
        except (BrokerUnavailable, TimeoutError):
            unknown = PartState(True, "unknown: the management API does not answer")
            return {_part(service): unknown for service in self._services}
        return {_part(s): _state(s, figures.get(s.queue)) for s in self._services}


def _part(service: Service) -> str:
    return f"{service.name.replace('_', '-')}-service"


def _state(service: Service, figures: QueueFigures | None) -> PartState:
    if figures is None:
        return PartState(False, f"The queue {service.queue} does not exist.")
    consumers = figures.get("consumers")
    if consumers is None:
        return PartState(True, f"unknown: no metrics of {service.queue} yet")
    if not consumers:
        return PartState(
            False, f"Nothing consumes {service.queue}: the service is not running."
        )
    return PartState(True)


def _depth(figures: QueueFigures | None) -> QueueDepth | None:
    if figures is None:
        return None
    names = QueueDepth.model_fields
    return QueueDepth(**{name: figures.get(name, 0) for name in names})
