"""Metrics for tuning backpressure."""

from fastapi import APIRouter

from app.api.dependencies import MetricsServiceDep
from app.api.security import READ_METRICS, requires
from app.models.schemas import Metrics

router = APIRouter(tags=["observability"])


@router.get("/metrics", dependencies=[requires(READ_METRICS)])
async def get_metrics(service: MetricsServiceDep) -> Metrics:
    """Depth of each service's queue and dead letters; this process's latency."""
    return await service.read()
