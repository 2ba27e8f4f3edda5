"""What is there besides the versioned API: a signpost and health."""

from fastapi import APIRouter, Response
from pydantic import BaseModel

from app import __version__
from app.api import docs
from app.core.dependencies import ResourcesDep
from app.core.health import Report
from app.models.schemas import DependencyState, Health, example

router = APIRouter(tags=["root"])


class Signpost(BaseModel):
    """Where things are."""

    model_config = example(
        name="FastAPI microservices starter",
        version=__version__,
        docs=docs.DOCS_URL,
        redoc=docs.REDOC_URL,
        openapi=docs.OPENAPI_URL,
        health="/health",
    )

    name: str
    version: str
    docs: str | None
    redoc: str | None
    openapi: str | None
    health: str


class Liveness(BaseModel):
    """The event loop answers."""

    model_config = example(status="ok")

    status: str


@router.get("/")
async def read_root(resources: ResourcesDep) -> Signpost:
    """Name and version of the API, and where to read on."""
    shown = resources.settings.serves_docs
    return Signpost(
        name="FastAPI microservices starter",
        version=__version__,
        docs=docs.DOCS_URL if shown else None,
        redoc=docs.REDOC_URL if shown else None,
        openapi=docs.OPENAPI_URL if shown else None,
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
