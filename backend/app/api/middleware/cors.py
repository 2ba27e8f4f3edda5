"""CORS for pages of other origins (https://fetch.spec.whatwg.org/#http-cors-protocol).

nginx adds the same headers to answers of its own.
"""

from starlette.datastructures import Headers, MutableHeaders
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.api.errors import problem
from app.core.browser_settings import CorsSettings, normal_origin


class CorsMiddleware(CORSMiddleware):
    """Starlette's, with ``Vary`` on every answer and problems for refusals."""

    def __init__(self, app: ASGIApp, settings: CorsSettings) -> None:
        super().__init__(
            app,
            allow_origins=settings.origins,
            allow_methods=settings.methods,
            allow_headers=settings.headers,
            expose_headers=settings.exposed_headers,
            allow_credentials=settings.credentials,
            max_age=settings.max_age_seconds,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """A cache must never give a browser the answer to another origin."""

        async def send_varied(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                if "origin" not in headers.get("vary", "").lower():
                    headers.add_vary_header("Origin")
            await send(message)

        await super().__call__(scope, receive, send_varied)

    def is_allowed_origin(self, origin: str) -> bool:
        """Not every client writes an origin as browsers do."""
        return super().is_allowed_origin(normal_origin(origin) or origin)

    def preflight_response(self, request_headers: Headers) -> Response:
        """The answer to a preflight; Starlette refuses in plain text."""
        answer = super().preflight_response(request_headers)
        if answer.status_code < 400:
            return answer
        detail = bytes(answer.body).decode() + ": see the settings CORS_..."
        headers = {
            name: value
            for name, value in answer.headers.items()
            if name not in ("content-length", "content-type")
        }
        return problem(400, "cors_refused", "CORS refused", detail, headers)
