"""The API's composition root."""

import asyncio
import gc
import signal
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI
from fastapi.telemetry import TelemetryConfig

from app import __title__, __version__
from app.api import answers, docs, errors, openapi, root, security, v1
from app.api.dependencies import Resources
from app.api.middleware.access_log import AccessLogMiddleware
from app.api.middleware.authentication import AuthenticationMiddleware
from app.api.middleware.bounds import BoundsMiddleware
from app.api.middleware.bugs import BugMiddleware
from app.api.middleware.cors import CorsMiddleware
from app.api.middleware.head import HeadMiddleware
from app.api.middleware.rate_limits import (
    RateLimitMiddleware,
    RefusedTokenMiddleware,
)
from app.api.middleware.request_id import RequestIdMiddleware
from app.api.middleware.security_headers import SecurityHeadersMiddleware
from app.api.sign_in import SignIn
from app.core.budget import Budget
from app.core.config import Settings
from app.core.idempotency import IdempotencyMiddleware
from app.core.principal import Principal
from app.core.rate_limits import RateLimits
from app.infrastructure.instrumentation import instrument_api
from app.resources import open_resources
from chassis.calls import set_event_producer
from chassis.logs import configure_logging
from chassis.memory import give_back_memory
from chassis.telemetry import start_telemetry, stop_telemetry
from chassis.telemetry.process import watched_loop

if TYPE_CHECKING:  # `app.resources.open_identity` says why
    from app.infrastructure.identity.provider import Endpoints
    from app.infrastructure.identity.tokens import TokenVerifier

SERVICE = "api"

# JSON has no cycles: the collector finds nothing in it, and holds the event loop while
# it looks through all bodies in memory. So it looks rarely, and at few objects.
COLLECTOR = 10_000, 5, 200

# Replaces FastAPI's own: OpenTelemetry's instrumentation does this work.
TELEMETRY: TelemetryConfig = {
    "tracing": False,
    "metrics": False,
    "logs": False,
    "auto_configure": False,
}


def create_app(settings: Settings) -> FastAPI:
    """Build the API. Connections open when it starts serving, not here."""
    app = FastAPI(
        title=__title__,
        version=__version__,
        lifespan=_lifespan(settings),
        openapi_tags=v1.tags(),
        description=openapi.describe_api(settings),
        generate_unique_id_function=openapi.operation_id,
        telemetry=TELEMETRY,
        openapi_url=docs.OPENAPI_URL if settings.serves_docs else None,
        docs_url=None,  # app.api.docs serves pages that need no internet
        redoc_url=None,
        redirect_slashes=False,  # a redirect could name an inner host or scheme
    )
    app.state.settings = settings
    app.state.budget = Budget(settings.max_body_bytes_in_flight)
    # Busiest routes first: FastAPI, and its tracing, try one route after another.
    for router in v1.routers:
        app.include_router(router, prefix=v1.PREFIX)
    app.include_router(root.router)

    def find_endpoints() -> "Endpoints | None":
        resources = getattr(app.state, "resources", None)  # None before the start
        return resources and resources.identity.endpoints

    sign_in = (
        SignIn(settings.auth, security.SCOPES, find_endpoints)
        if settings.auth.issuer
        else None
    )
    if settings.serves_docs:
        docs.install_docs_pages(app, sign_in)
    errors.install_error_handlers(app)
    openapi.install_schema(app, sign_in)
    _add_middleware(app, settings)
    return app


def _add_middleware(app: FastAPI, settings: Settings) -> None:
    """The innermost first."""
    app.add_middleware(HeadMiddleware)

    async def read_answer(task_id: str) -> bytes:
        return await answers.read_processed(app.state.resources.database, task_id)

    app.add_middleware(
        IdempotencyMiddleware,
        keys=lambda: app.state.resources.keys,
        answer_error=errors.answer_error,
        read_answer=read_answer,
        max_stored_bytes=settings.idempotency.max_stored_bytes,
    )
    app.add_middleware(
        BoundsMiddleware,
        max_body_bytes=settings.max_body_bytes,
        max_json_values=settings.max_json_values,
        budget=app.state.budget,
    )

    def rate_limits() -> RateLimits:
        return app.state.resources.rate_limits  # type: ignore[no-any-return]

    if settings.rate_limits.policies:
        app.add_middleware(RateLimitMiddleware, limits=rate_limits)
    if settings.auth.issuer:

        async def verify(token: str) -> Principal:
            verifier: "TokenVerifier" = app.state.resources.identity
            return await verifier.verify(token)

        app.add_middleware(AuthenticationMiddleware, verify=verify)
        if settings.rate_limits.policies:
            app.add_middleware(RefusedTokenMiddleware, limits=rate_limits)
    app.add_middleware(BugMiddleware)
    if settings.cors.origins:
        app.add_middleware(CorsMiddleware, settings=settings.cors)
    app.add_middleware(RequestIdMiddleware)
    app.add_middleware(SecurityHeadersMiddleware)
    app.add_middleware(AccessLogMiddleware)


def _lifespan(settings: Settings) -> Any:
    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        give_back_memory()
        configure_logging(SERVICE, settings.log_level, settings.log_format)
        if start_telemetry(
            SERVICE,
            settings.environment,
            is_edge=True,
            trusts_callers=settings.trust_sampled_flag,
        ):
            instrument_api(app)
        try:
            async with (
                watched_loop(),
                open_resources(settings, app.state.budget) as resources,
            ):
                app.state.resources = resources
                set_event_producer(resources.producer)
                drain_on_signals(resources)
                gc.collect()
                gc.freeze()  # spare the collector objects that stay
                gc.set_threshold(*COLLECTOR)
                try:
                    yield
                finally:
                    set_event_producer(None)
        finally:
            await asyncio.to_thread(stop_telemetry)

    return lifespan


def drain_on_signals(resources: Resources) -> None:
    """From the first signal on, report "not ready" and end streams, which uvicorn would
    wait for; in addition to uvicorn's shutdown. Only the main thread gets signals."""
    if threading.current_thread() is not threading.main_thread():
        return
    loop = asyncio.get_running_loop()
    for each in (signal.SIGTERM, signal.SIGINT):
        previous = signal.getsignal(each)
        if callable(previous) and previous is not signal.default_int_handler:
            signal.signal(each, partial(_drain, loop, resources, previous))


def _drain(
    loop: asyncio.AbstractEventLoop,
    resources: Resources,
    previous: Callable[[int, Any], Any],
    number: int,
    frame: Any,
) -> None:
    resources.health.is_draining = True
    loop.call_soon_threadsafe(resources.events.feed.stop)
    previous(number, frame)
