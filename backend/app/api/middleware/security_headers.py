"""Headers that tell browsers to be careful, on every answer."""

from starlette.types import ASGIApp, Message, Receive, Scope, Send

HEADERS = [
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
]
# Browsers heed it over TLS only. A trusted proxy says so by X-Forwarded-Proto.
TLS_HEADERS = [*HEADERS, (b"strict-transport-security", b"max-age=31536000")]


class SecurityHeadersMiddleware:
    """nginx adds the same where an answer lacks them."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on; add to the answer's head."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = TLS_HEADERS if scope["scheme"] == "https" else HEADERS

        async def send_careful(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"].extend(headers)
            await send(message)

        await self._app(scope, receive, send_careful)
