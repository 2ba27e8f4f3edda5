"""Rate limits of each caller (draft-ietf-httpapi-ratelimit-headers).

A caller is the subject of a valid token, else an address. ``RateLimitMiddleware``
stands inside authentication, where the subject is known, and before the body is read.
``RefusedTokenMiddleware`` stands outside of it and counts what authentication refuses.
A valid token passes even where the address has sent too many others: nobody can lock
out the neighbours behind one address.
"""

from collections.abc import Callable
from functools import lru_cache
from ipaddress import IPv6Address, IPv6Network, ip_address

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.api.errors import answer, send_answer
from app.api.middleware.authentication import PRINCIPAL, is_open
from app.core.exceptions import RateLimited
from app.core.principal import Principal
from app.core.rate_limits import RateLimits, Verdict

STATE, POLICY = "RateLimit", "RateLimit-Policy"
_RAW_STATE, _RAW_POLICY = STATE.lower().encode(), POLICY.lower().encode()
SAFE_METHODS = ("GET", "HEAD", "OPTIONS")
STARTS = ("http.response.start", "websocket.http.response.start")
# Who has one address of IPv6 has all of its network.
NETWORK_BITS = 64


class RateLimitMiddleware:
    """Counts each request, except of open paths, and refuses those beyond the limit."""

    def __init__(self, app: ASGIApp, *, limits: Callable[[], RateLimits]) -> None:
        self._app = app
        self._limits = limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on the requests within the limit."""
        if scope["type"] not in ("http", "websocket") or is_open(scope):
            await self._app(scope, receive, send)
            return
        verdict = await self._limits().take(policy_of(scope), caller_of(scope))
        if verdict is None:
            await self._app(scope, receive, send)
        elif verdict.may_pass:
            await self._app(scope, receive, _name_limit(send, verdict))
        else:
            await _send_refusal(verdict, scope, receive, send)


class RefusedTokenMiddleware:
    """Counts requests without a valid token for their address: beyond the limit, the
    answer no longer says what is wrong with the token."""

    def __init__(self, app: ASGIApp, *, limits: Callable[[], RateLimits]) -> None:
        self._app = app
        self._limits = limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on; replace the answer of authentication if necessary."""
        if scope["type"] not in ("http", "websocket") or is_open(scope):
            await self._app(scope, receive, send)
            return
        is_replaced = False

        async def send_counted(message: Message) -> None:
            nonlocal is_replaced
            if is_replaced:
                return
            if PRINCIPAL in scope or not _is_refusal(message):
                await send(message)
                return
            verdict = await self._limits().take(policy_of(scope), address_of(scope))
            if verdict is None:
                await send(message)
            elif verdict.may_pass:
                await _name_limit(send, verdict)(message)
            else:
                is_replaced = True
                await _send_refusal(verdict, scope, receive, send)

        await self._app(scope, receive, send_counted)


def _is_refusal(message: Message) -> bool:
    """Whether it begins an answer to a bad token, or to none. That the provider is down
    is not the client's fault."""
    if message["type"] == "websocket.close":
        return True
    return message["type"] in STARTS and 400 <= message["status"] < 500


def policy_of(scope: Scope) -> str:
    """The name of the limit for such a request; a WebSocket begins with a GET."""
    return "read" if scope.get("method", "GET") in SAFE_METHODS else "write"


def caller_of(scope: Scope) -> str:
    """Whose request it is."""
    principal: Principal | None = scope.get(PRINCIPAL)
    if principal is None or not principal.subject:
        return address_of(scope)
    return f"subject {principal.subject}"


def address_of(scope: Scope) -> str:
    """The client's IPv4 address, or its IPv6 network."""
    return _counted_address(scope["client"][0] if scope.get("client") else "")


@lru_cache(1024)
def _counted_address(host: str) -> str:
    try:
        address = ip_address(host)
    except ValueError:  # a socket has no address
        return f"address {host}"
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is not None:
            return f"address {address.ipv4_mapped}"
        return f"address {IPv6Network((int(address), NETWORK_BITS), strict=False)}"
    return f"address {address}"


def _name_limit(send: Send, verdict: Verdict) -> Send:
    async def send_named(message: Message) -> None:
        if message["type"] in STARTS:
            (name, amount, window), _, left, seconds = verdict
            message["headers"] += (
                (_RAW_STATE, f'"{name}";r={left};t={seconds}'.encode()),
                (_RAW_POLICY, f'"{name}";q={amount};w={window}'.encode()),
            )
        await send(message)

    return send_named


async def _send_refusal(
    verdict: Verdict, scope: Scope, receive: Receive, send: Send
) -> None:
    _, amount, seconds = verdict.policy
    detail = f"At most {amount} requests are accepted in {seconds} s."
    response = answer(RateLimited(detail, verdict.seconds))
    await send_answer(response, scope, receive, _name_limit(send, verdict))
