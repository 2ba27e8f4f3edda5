"""``X-Request-ID``: accepted or generated, used everywhere, returned on every
answer."""

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.api.errors import problem, request_id_header
from chassis.context import (
    REQUEST_ID_HEADER,
    REQUEST_ID_PATTERN,
    current_request_id,
    new_request_id,
)

_RAW_HEADER = REQUEST_ID_HEADER.lower().encode()


class RequestIdMiddleware:
    """Pure ASGI, so that the context variable it sets reaches the endpoint."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Set the request id, then pass the request on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = [value for name, value in scope["headers"] if name == _RAW_HEADER]
        request_id = given[0].decode("latin-1") if any(given) else new_request_id()
        if not REQUEST_ID_PATTERN.fullmatch(request_id) or len(given) > 1:
            current_request_id.set(new_request_id())
            rule = "must be one word of at most 128 letters and ._:/+=@-"
            detail = f"{REQUEST_ID_HEADER} {rule}"
            title, headers = "Malformed header", request_id_header()
            refusal = problem(400, "malformed_header", title, detail, headers)
            await refusal(scope, receive, send)
            return
        current_request_id.set(request_id)

        async def send_named(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"].append((_RAW_HEADER, request_id.encode()))
            await send(message)

        await self._app(scope, receive, send_named)
