"""Answers bugs inside the other middleware, so that their headers are on the 500 too.

Starlette's own handler of exceptions stands outside all middleware.
"""

from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.api.errors import on_bug


class BugMiddleware:
    """Answers 500 if nothing is sent yet; then the server logs the traceback."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, and every exception."""
        is_answered = False

        async def send_noted(message: Message) -> None:
            nonlocal is_answered
            is_answered = True
            await send(message)

        try:
            await self._app(scope, receive, send_noted)
        except Exception as error:
            if scope["type"] == "http" and not is_answered:
                answer = await on_bug(Request(scope), error)
                await answer(scope, receive, send)
            raise
