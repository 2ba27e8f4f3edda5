"""Figures for tuning backpressure."""

import asyncio
import os
import socket

from app.core.exceptions import BrokerUnavailable
from app.infrastructure.rabbitmq_management import ManagementApi
from app.infrastructure.rpc.client import RpcClient
from app.models.schemas import Latency, Metrics, QueueDepth, RpcMetrics


class MetricsService:
    """Depth of a queue and its dead-letter queue, and the calls of this process."""

    def __init__(
        self, rpc: RpcClient, management: ManagementApi, queue_name: str
    ) -> None:
        self._rpc = rpc
        self._management = management
        self._queues = (queue_name, f"{queue_name}_dlq")

    async def read(self) -> Metrics:
        """Answers also when the management API does not, within its time-out."""
        queues, error = None, None
        try:
            depths = await asyncio.gather(*map(self._depth, self._queues))
            queues = dict(zip(self._queues, depths, strict=True))
        except BrokerUnavailable as unavailable:
            error = unavailable.detail
        statistics = self._rpc.statistics
        latency = statistics.latency()
        return Metrics(
            instance=f"{socket.gethostname()}:{os.getpid()}",
            queues=queues,
            queues_error=error,
            rpc=RpcMetrics(
                latency=Latency(
                    count=latency.count,
                    avg=latency.avg,
                    p50=latency.p50,
                    p95=latency.p95,
                ),
                timeouts_total=statistics.timeouts,
                in_flight=self._rpc.in_flight,
            ),
        )

    async def _depth(self, queue: str) -> QueueDepth | None:
        depth = await asyncio.to_thread(self._management.depth, queue)
        return None if depth is None else QueueDepth(**depth)
