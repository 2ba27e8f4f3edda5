"""Limits on every request, whatever its endpoint declares.

An endpoint needs no type, no route class and no check of its own: a plain ``str``, a
form, an upload, ``Request.body()`` and ``Request.stream()`` are all limited. If a value
passes and PostgreSQL refuses it, ``app.core.database_errors`` translates it.
"""

from typing import NamedTuple
from urllib.parse import parse_qsl, unquote_to_bytes

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.middleware.body_limit import MAX_BODY_SIZE_SCOPE_KEY
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.api.errors import MEDIA_TYPE, answer_error, problem
from app.api.middleware.answers import PIECE, announced_length, send_pieces
from app.api.strict_json import (
    BodyRefused,
    is_json,
    parse_json,
    refuse_encoding,
    too_large,
)
from app.core.budget import Account, Budget, held_for, work_of
from app.core.exceptions import TooBusy
from chassis import json_aside
from chassis.json_text import most_values

# Maximum bytes of path and query; nginx passes on more, so that this answer counts.
MAX_ADDRESS_BYTES = 8 * 1024

SAFE = ("GET", "HEAD")

# From this size on, a body is parsed in a thread.
LARGE = 64 * 1024

DISCONNECT: Message = {"type": "http.disconnect"}


class Limits(NamedTuple):
    """The limits of one body."""

    max_bytes: int
    max_values: int


class BoundsMiddleware:
    """Rejects a bad address at once, and a bad body while it is read.

    ``max_body_bytes`` applies where neither route nor router sets
    ``max_body_size=...``, FastAPI's own parameter. Under an idempotency key it always
    applies: that middleware keeps the body in memory before the route is known.

    ``budget`` belongs to the process. It counts a body from its first byte until the
    answer is sent, and every large answer.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        max_body_bytes: int,
        max_json_values: int,
        budget: Budget,
    ) -> None:
        self._app = app
        self._limits = Limits(max_body_bytes, max_json_values)
        self._budget = budget

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on requests within the limits."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        if refusal := refuse_address(scope):
            await refusal(scope, receive, send)
            return
        account = Account(self._budget)
        exchange = _Exchange(scope, receive, send, self._limits, account)
        try:
            await self._app(scope, exchange.receive, exchange.send)
        finally:
            account.close()


def refuse_address(scope: Scope) -> Response | None:
    """The answer to an address that is too long or cannot be stored as text."""
    path: bytes = scope.get("raw_path") or scope["path"].encode(errors="replace")
    query: bytes = scope["query_string"]
    if len(path) + len(query) > MAX_ADDRESS_BYTES:
        return problem(414, "uri_too_long", "URI Too Long", "The address is too long.")
    if b"%" in path and (fault := _fault(unquote_to_bytes(path))):
        return _invalid(["path"], fault)
    if b"%" in query and (fault := _fault(unquote_to_bytes(query))):
        return _invalid(["query", *_parameter(query)], fault)
    return None


def _fault(text: bytes) -> str | None:
    if b"\0" in text:
        return "Text must not contain U+0000: PostgreSQL cannot store it."
    try:
        text.decode()
    except UnicodeDecodeError:
        return "Text must be UTF-8."
    return None


def _parameter(query: bytes) -> list[str]:
    """The name of the first invalid parameter, if the name itself is valid."""
    pairs = parse_qsl(query.decode("latin-1"), True, errors="surrogateescape")
    for name, value in pairs:
        if _fault(name.encode(errors="surrogateescape")):
            return []
        if _fault(value.encode(errors="surrogateescape")):
            return [name]
    return []


def _invalid(place: list[str], fault: str) -> Response:
    errors = [{"loc": place, "msg": fault, "type": "unstorable_text"}]
    detail = f"{'.'.join(place)}: {fault}"
    return problem(422, "invalid_values", "Invalid values", detail, errors=errors)


async def check_json(body: bytes, max_values: int) -> None:
    """Parse a body as JSON, a large one outside the event loop. Raises BodyRefused."""
    if len(body) <= LARGE:
        parse_json(body, max_values)
    else:
        await json_aside.run(parse_json, body, max_values)


class _Exchange:
    """One request and its answer."""

    def __init__(
        self,
        scope: Scope,
        receive: Receive,
        send: Send,
        limits: Limits,
        account: Account,
    ) -> None:
        kind = length = coding = b""
        for name, value in scope["headers"]:  # the first of a repeated header
            if name == b"content-type":
                kind = kind or value
            elif name == b"content-encoding":
                coding += b"," + value  # a repeated one continues the list
            elif name == b"content-length":
                length = length or value
        self._scope = scope
        self._receive = receive
        self._send = send
        self._default_limit, self._max_values = limits
        self._length = int(length) if length.isdigit() and len(length) < 20 else 0
        self._kind = kind.decode("latin-1")
        self._coding = coding.decode("latin-1")
        self._to_check = is_json(self._kind)
        self._size = 0
        self._is_answered = False
        self._is_replaced = False
        self._account = account

    @property
    def _limit(self) -> int:
        """Routing, which runs after this middleware, sets the route's limit."""
        limit: int = self._scope.get(MAX_BODY_SIZE_SCOPE_KEY, self._default_limit)
        return limit

    async def receive(self) -> Message:
        """ASGI's ``receive``; raises BodyRefused. Once the answer has started, the body
        just ends."""
        try:
            refuse_encoding(self._kind, self._coding)
            if self._to_check:
                self._to_check = False
                return await self._receive_json()
            return await self._receive_bounded()
        except (BodyRefused, TooBusy) as error:
            if self._is_answered:
                return DISCONNECT
            if isinstance(error, BodyRefused):
                raise
            # FastAPI turns any other exception into a 400.
            headers = {"Retry-After": str(error.retry_after)}
            raise BodyRefused(503, error.code, error.detail, headers) from error

    async def _receive_bounded(self) -> Message:
        if self._length > self._limit:
            raise too_large(self._limit)
        message = await self._receive()
        self._size += len(message.get("body", b""))
        if self._size > self._limit:
            raise too_large(self._limit)
        self._account.hold(self._size)
        return message

    async def _receive_json(self) -> Message:
        """The whole body, checked, in one message; then its work may begin."""
        parts = []
        is_whole = False
        while not is_whole:
            message = await self._receive_bounded()
            if message["type"] != "http.request":
                return message
            parts.append(message.get("body", b""))
            is_whole = not message.get("more_body", False)
        body = b"".join(parts)
        if body:
            values = min(most_values(body), self._max_values)
            self._account.hold(held_for(len(body), values))
            await self._account.begin(work_of(body, values))
            await check_json(body, self._max_values)
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(self, message: Message) -> None:
        """ASGI's ``send``. It replaces what the framework answers in plain text."""
        if message["type"] == "http.response.start":
            self._is_answered = True
            await self._count_answer(message)
            if error := self._plain_refusal(message):
                self._is_replaced = True
                request = Request(self._scope, self._receive)
                answer = await answer_error(request, error)
                await answer(self._scope, self._receive, self._send)
        elif not message.get("more_body", False):
            self._account.end()
        if self._is_replaced:
            return
        if message["type"] != "http.response.body":
            await self._send(message)
        elif not await send_pieces(self._send, message):
            self._is_replaced = True  # replace the rest of that answer with nothing

    def _plain_refusal(self, start: Message) -> HTTPException | None:
        """A body above a route's own limit, or a range of a file."""
        headers = Headers(raw=start["headers"])
        if start["status"] < 400 or headers.get("content-type") == MEDIA_TYPE:
            return None
        if start["status"] == 413:
            return too_large(self._limit)
        asked = Headers(raw=self._scope["headers"])
        if start["status"] in (400, 416) and "range" in asked:
            size = {n: headers[n] for n in ("content-range",) if n in headers}
            detail = "The file has no such range of bytes."
            return HTTPException(start["status"], detail, size)
        return None

    async def _count_answer(self, start: Message) -> None:
        """A large answer that only reads is refused if the budget is full; any other
        has already done its work."""
        length = announced_length(start)
        if length <= PIECE:
            return
        try:
            self._account.hold(length, anyway=self._scope["method"] not in SAFE)
        except TooBusy as error:
            self._is_replaced = True
            request = Request(self._scope, self._receive)
            refusal = await answer_error(request, error)
            await refusal(self._scope, self._receive, self._send)
