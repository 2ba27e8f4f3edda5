"""Answers HEAD wherever there is GET: the same answer without a body (RFC 9110, 9.3.2).

FastAPI's routes accept only the methods that they declare.
"""

from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

HEAD = "is_head"


def is_head(request: Request) -> bool:
    """For answers without an end: whether the client wants their header alone."""
    return bool(request.scope.get(HEAD))


class HeadMiddleware:
    """The innermost middleware, so that logs and traces say HEAD."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Route HEAD as GET, and drop the body of the answer."""
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self._app(scope, receive, send)
            return

        async def send_head(message: Message) -> None:
            if message["type"] == "http.response.body":
                message = {**message, "body": b""}
            await send(message)

        await self._app({**scope, "method": "GET", HEAD: True}, receive, send_head)
