"""One log line for each request, with the route rather than its values."""

import logging
import time
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from chassis.logs import ACCESS

logger = logging.getLogger(ACCESS)

PROBES = "/health"


class AccessLogMiddleware:
    """Outermost of ours: sees every answer, and the request id of each.

    Probes are logged at DEBUG: they come often and say little.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, and note how it was answered."""
        level = logging.DEBUG if is_probe(scope) else logging.INFO
        if scope["type"] != "http" or not logger.isEnabledFor(level):
            await self._app(scope, receive, send)
            return
        began = time.perf_counter()
        status = 500  # an exception that nobody answers is a bug, answered outside

        async def send_noted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, send_noted)
        finally:
            _log_request(level, scope, status, time.perf_counter() - began)


def is_probe(scope: Any) -> bool:
    """Whether an orchestrator asks for health."""
    return bool(scope.get("path", "").startswith(PROBES))


def route_of(scope: Any) -> str | None:
    """The template that the path matched, None if it matched none.

    FastAPI names it relative to its router: what is before stands in the path.
    """
    template = getattr(scope.get("route"), "path", None)
    if template is None:
        return None
    prefix: str = scope["path"].rsplit("/", template.count("/"))[0]
    return prefix + str(template)


def _log_request(level: int, scope: Scope, status: int, seconds: float) -> None:
    method, client = scope["method"], scope.get("client")
    path, milliseconds = scope["path"], round(seconds * 1000, 2)
    fields = {
        "http.request.method": method,
        "http.route": route_of(scope),
        "http.response.status_code": status,
        "duration_ms": milliseconds,
        "client.address": client[0] if client else None,
    }
    text = "%s %s %d %.1f ms"
    logger.log(level, text, method, path, status, milliseconds, extra=fields)
