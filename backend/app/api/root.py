"""What the API serves outside a version: its entry page and health."""

from fastapi import APIRouter, Response
from pydantic import BaseModel

from app import __title__, __version__
from app.api import docs
from app.api.asyncapi import ASYNCAPI_URL
from app.api.dependencies import ResourcesDep
from app.core.health import HealthReport
from app.models.schemas import DependencyState, Health, example

router = APIRouter(tags=["root"])


class Signpost(BaseModel):
    """Name, version and links."""

    model_config = example(
        name=__title__,
        version=__version__,
        docs=docs.DOCS_URL,
        redoc=docs.REDOC_URL,
        openapi=docs.OPENAPI_URL,
        asyncapi=ASYNCAPI_URL,
        health="/health",
    )

    name: str
    version: str
    docs: str | None
    redoc: str | None
    openapi: str | None
    asyncapi: str | None
    health: str


class Alive(BaseModel):
    """The event loop answers."""

    model_config = example(status="ok")

    status: str


@router.get("/")
async def read_root(resources: ResourcesDep) -> Signpost:
    """Name and version of the API, and links to documentation and health."""
    shown = resources.settings.serves_docs
    return Signpost(
        name=__title__,
        version=__version__,
        docs=docs.DOCS_URL if shown else None,
        redoc=docs.REDOC_URL if shown else None,
        openapi=docs.OPENAPI_URL if shown else None,
        asyncapi=ASYNCAPI_URL if shown else None,
        health="/health",
    )


@router.get("/health", responses={503: {"model": Health}})
async def read_health(resources: ResourcesDep, response: Response) -> Health:
    """A status for each dependency; 503 when the API cannot do its main job.

    A service that is down only makes it `degraded`: others may still work.
    """
    report = await resources.health.report_all()
    return _answer(report, response, is_able=report.is_able)


@router.get("/health/live")
async def read_liveness() -> Alive:
    """The event loop answers; no dependency is checked."""
    return Alive(status="ok")


@router.get("/health/ready", responses={503: {"model": Health}})
async def read_readiness(resources: ResourcesDep, response: Response) -> Health:
    """Whether to send requests here; also 503 while the process is stopping."""
    report = await resources.health.report()
    is_able = report.is_able and not resources.health.is_draining
    return _answer(report, response, is_able=is_able)


def _answer(report: HealthReport, response: Response, *, is_able: bool) -> Health:
    response.status_code = 200 if is_able else 503
    return Health(
        status=report.status if is_able or not report.is_able else "draining",
        dependencies={
            name: DependencyState(
                status="up" if part.is_up else "down", detail=part.detail
            )
            for name, part in report.parts.items()
        },
    )
