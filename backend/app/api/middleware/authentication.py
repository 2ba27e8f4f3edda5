"""Bearer tokens (RFC 6750): who makes a request is known before its body is read.

Every path needs a valid token, a path without an endpoint too; ``OPEN`` lists the rest.
What a caller may do is declared on each endpoint, see ``app.api.security``.
"""

import re
from collections.abc import Awaitable, Callable

from opentelemetry import trace
from starlette.types import ASGIApp, Receive, Scope, Send

from app.api import docs
from app.api.asyncapi import ASYNCAPI_URL
from app.api.errors import answer, send_answer
from app.core.exceptions import ApplicationError, Malformed, Unauthenticated
from app.core.pace import Pace
from app.core.principal import Principal
from chassis.context import current_principal

#: The paths that need no token. One that ends with a slash stands for all below it.
OPEN = (
    *("/", "/health", "/health/live", "/health/ready"),
    *(docs.DOCS_URL, docs.LOGIN_URL, docs.REDOC_URL, docs.OPENAPI_URL),
    ASYNCAPI_URL,
    f"{docs.ASSETS_URL}/",
)
PRINCIPAL = "principal"

_SUBPROTOCOL = re.compile(r"bearer\.([A-Za-z0-9._~-]+)")
_BEARER = re.compile(rb"bearer +([A-Za-z0-9._~+/-]+=*)", re.IGNORECASE)


class AuthenticationMiddleware:
    """Pure ASGI: the context variable that it sets reaches the endpoint.

    Args:
        verify: returns whose token it is; raises ApplicationError.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        verify: Callable[[str], Awaitable[Principal]],
    ) -> None:
        self._app = app
        self._verify = verify
        self._refusals = Pace()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on requests with a valid token, and those that need none."""
        if scope["type"] not in ("http", "websocket") or is_open(scope):
            await self._app(scope, receive, send)
            return
        try:
            principal = await self._verify(bearer_token(scope))
        except ApplicationError as error:
            await self._refusals.wait()
            await send_answer(answer(error), scope, receive, send)
            return
        scope[PRINCIPAL] = principal
        current_principal.set(principal.subject)
        trace.get_current_span().set_attribute("enduser.id", principal.subject or "")
        await self._app(scope, receive, send)


def is_open(scope: Scope) -> bool:
    """Whether the path needs no token."""
    path: str = scope["path"].removeprefix(scope.get("root_path", ""))
    return path in OPEN or any(
        each.endswith("/") and len(each) > 1 and path.startswith(each) for each in OPEN
    )


def bearer_token(scope: Scope) -> str:
    """The token of the ``Authorization`` header. Pages cannot set it for a WebSocket:
    they offer ``bearer.<token>`` as a subprotocol, which is never accepted.

    Raises:
        Unauthenticated: there is none.
        Malformed: there are several headers.
    """
    given = [value for name, value in scope["headers"] if name == b"authorization"]
    if len(given) > 1:
        raise Malformed("Send one Authorization header.")
    if not given:
        for offered in scope.get("subprotocols", ()):
            if found := _SUBPROTOCOL.fullmatch(offered):
                return found[1]
        raise Unauthenticated("Send a token: Authorization: Bearer <token>.")
    token = _BEARER.fullmatch(given[0])
    if token is None:
        raise Unauthenticated(
            "Send the token as Authorization: Bearer <token>.",
            is_token=given[0][:6].lower() == b"bearer",
        )
    return token[1].decode()
