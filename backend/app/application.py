"""The API's composition root."""

import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI
from fastapi.middleware.cors import CORSMiddleware
from fastapi_offline import FastAPIOffline

from app import __version__
from app.api import errors, root
from app.api.request_id import RequestIdMiddleware
from app.api.v1 import api_router
from app.core.config import Settings
from app.core.dependencies import set_event_producer
from app.core.health import HealthChecks
from app.core.logs import configure_logging
from app.core.resources import open_resources

DOCS = {
    "openapi_url": "/api/v1/openapi.json",
    "docs_url": "/api/v1/docs",
    "redoc_url": "/api/v1/redoc",
    "static_url": "/api/v1/docs-assets",
}


def create_app(settings: Settings) -> FastAPI:
    """Build the API. Connections open when it starts serving, not here."""
    options: dict[str, Any] = {
        "title": "FastAPI microservices starter",
        "version": __version__,
        "lifespan": _lifespan(settings),
    }
    if settings.docs_enabled:
        # Swagger UI and ReDoc with assets of our own: they work without internet.
        app = FastAPIOffline(**DOCS, **options)
    else:
        app = FastAPI(openapi_url=None, **options)
    app.state.settings = settings
    app.include_router(api_router)
    app.include_router(root.router)
    errors.install(app)
    if settings.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=settings.cors_origins,
            allow_methods=["GET", "POST", "DELETE"],
            allow_headers=["*"],
            expose_headers=["X-Request-ID", "Location", "Link", "Retry-After"],
        )
    app.add_middleware(RequestIdMiddleware)
    return app


def _lifespan(settings: Settings) -> Any:
    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        configure_logging(settings)
        async with open_resources(settings) as resources:
            app.state.resources = resources
            set_event_producer(resources.producer)
            _drain_on_sigterm(resources.health)
            try:
                yield
            finally:
                set_event_producer(None)

    return lifespan


def _drain_on_sigterm(health: HealthChecks) -> None:
    """Report "not ready" from the first SIGTERM on, besides what uvicorn does."""
    previous = signal.getsignal(signal.SIGTERM)
    if not callable(previous):  # not run by uvicorn
        return

    def drain(number: int, frame: Any) -> None:
        health.draining = True
        previous(number, frame)

    signal.signal(signal.SIGTERM, drain)
