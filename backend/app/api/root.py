"""What is there besides the versioned API: a signpost and health."""

from fastapi import APIRouter, Response
from pydantic import BaseModel

from app import __version__
from app.core.dependencies import ResourcesDep
from app.core.health import Report
from app.models.schemas import DependencyState, Health

router = APIRouter(tags=["root"])


class Signpost(BaseModel):
    """Where things are."""

    name: str
    version: str
    docs: str | None
    redoc: str | None
    openapi: str | None
    health: str


class Liveness(BaseModel):
    """The event loop answers."""

    status: str


@router.get("/")
async def read_root(resources: ResourcesDep) -> Signpost:
    """Name and version of the API, and where to read on."""
    docs = resources.settings.serves_docs
    return Signpost(
        name="FastAPI microservices starter",
        version=__version__,
        docs="/api/v1/docs" if docs else None,
        redoc="/api/v1/redoc" if docs else None,
        openapi="/api/v1/openapi.json" if docs else None,
        health="/health",
    )


@router.get("/health", responses={503: {"model": Health}})
async def read_health(resources: ResourcesDep, response: Response) -> Health:
    """A status for each dependency; 503 when the API cannot do its main job."""
    report = await resources.health.report()
    return _answer(report, response, able=report.able)


@router.get("/health/live")
async def read_liveness() -> Liveness:
    """The event loop answers; nothing else is asked."""
    return Liveness(status="ok")


@router.get("/health/ready", responses={503: {"model": Health}})
async def read_readiness(resources: ResourcesDep, response: Response) -> Health:
    """Whether to send requests here: 503 also while the process is stopping."""
    report = await resources.health.report()
    able = report.able and not resources.health.draining
    return _answer(report, response, able=able)


def _answer(report: Report, response: Response, *, able: bool) -> Health:
    response.status_code = 200 if able else 503
    return Health(
        status=report.status if able or not report.able else "draining",
        dependencies={
            name: DependencyState(status="down" if error else "up", detail=error)
            for name, error in report.errors.items()
        },
    )
