"""``X-Request-ID``: accepted or generated, used everywhere, returned on every
answer."""

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from chassis.context import (
    REQUEST_ID_HEADER,
    REQUEST_ID_PATTERN,
    current_request_id,
    new_request_id,
)

#: What begins an answer; a WebSocket has two of them.
STARTS = (
    "http.response.start",
    "websocket.http.response.start",
    "websocket.accept",
)
_RAW_HEADER = REQUEST_ID_HEADER.lower().encode()


class RequestIdMiddleware:
    """Pure ASGI, so that the context variable it sets reaches the endpoint."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Set the request id, then pass the request on."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        request_id = request_id_of(scope)
        current_request_id.set(request_id)

        async def send_named(message: Message) -> None:
            if message["type"] in STARTS:
                message["headers"].append((_RAW_HEADER, request_id.encode()))
            await send(message)

        await self._app(scope, receive, send_named)


def request_id_of(scope: Scope) -> str:
    """The client's id. A new one if it has none, several, or one that is not safe to
    log and to return."""
    given = [value for name, value in scope["headers"] if name == _RAW_HEADER]
    text = given[0].decode("latin-1") if len(given) == 1 else ""
    return text if REQUEST_ID_PATTERN.fullmatch(text) else new_request_id()
