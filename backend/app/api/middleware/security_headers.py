"""Security headers for browsers, on every answer."""

from starlette.types import ASGIApp, Message, Receive, Scope, Send

HEADERS = [
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
]
# Browsers respect it over TLS only. A trusted proxy reports TLS in X-Forwarded-Proto.
TLS_HEADERS = [*HEADERS, (b"strict-transport-security", b"max-age=31536000")]


class SecurityHeadersMiddleware:
    """Adds the headers. nginx adds them to answers of its own."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on; add the headers to its answer."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = TLS_HEADERS if scope["scheme"] == "https" else HEADERS

        async def send_careful(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"].extend(headers)
            await send(message)

        await self._app(scope, receive, send_careful)
