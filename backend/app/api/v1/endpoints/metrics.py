"""Figures for tuning backpressure."""

from fastapi import APIRouter

from app.core.dependencies import MetricsServiceDep
from app.models.schemas import Metrics

router = APIRouter(tags=["observability"])


@router.get("/metrics")
async def get_metrics(service: MetricsServiceDep) -> Metrics:
    """Depth of `data_queue` and `data_queue_dlq`, and this process's latency."""
    return await service.read()
