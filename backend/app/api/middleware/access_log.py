"""One log line per request, with the route instead of its values."""

import logging
import time
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.api.middleware.request_id import STARTS
from chassis.logs import ACCESS

logger = logging.getLogger(ACCESS)

PROBES = "/health"

KINDS = ("http", "websocket")
STATUSES = {"websocket.accept": 101, "websocket.close": 403}


class AccessLogMiddleware:
    """The outermost middleware of ours: it sees every answer and its request id.

    Probes are logged at DEBUG: they are frequent and say little.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, and log its status and duration."""
        level = logging.DEBUG if is_probe(scope) else logging.INFO
        if scope["type"] not in KINDS or not logger.isEnabledFor(level):
            await self._app(scope, receive, send)
            return
        began = time.perf_counter()
        status = 500  # an unhandled exception is a bug, answered further out
        is_logged = False

        async def send_noted(message: Message) -> None:
            nonlocal status, is_logged
            kind = message["type"]
            if kind in STARTS or kind == "websocket.close" and not is_logged:
                status = message.get("status", STATUSES.get(kind, 200))
                if is_stream(message):
                    is_logged = True
                    _log_request(level, scope, status, time.perf_counter() - began)
            await send(message)

        try:
            await self._app(scope, receive, send_noted)
        finally:
            if not is_logged:
                _log_request(level, scope, status, time.perf_counter() - began)


def is_stream(start: Message) -> bool:
    """Whether an answer may last for hours: then its line says when it began."""
    if start["type"] == "websocket.accept":
        return True
    media_type = b"text/event-stream"
    return any(
        name == b"content-type" and value.startswith(media_type)
        for name, value in start.get("headers", ())
    )


def is_probe(scope: Any) -> bool:
    """Whether the request is a health probe."""
    return bool(scope.get("path", "").startswith(PROBES))


def route_of(scope: Any) -> str | None:
    """The path template that matched, None if none did.

    FastAPI gives it relative to its router; the prefix comes from the path.
    """
    template = getattr(scope.get("route"), "path", None)
    if template is None:
        return None
    prefix: str = scope["path"].rsplit("/", template.count("/"))[0]
    return prefix + str(template)


def _log_request(level: int, scope: Scope, status: int, seconds: float) -> None:
    method, client = scope.get("method", "GET"), scope.get("client")
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
