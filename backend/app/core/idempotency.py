"""``Idempotency-Key``: a POST that is sent again is done once.

By the IETF's draft-ietf-httpapi-idempotency-key-header. The first request with a key
claims it and works. Another one with the key is answered:

* 409 with ``Retry-After`` while the first is under way,
* with the first one's answer afterwards, marked ``Idempotency-Replayed: true``,
* 422 if it is another request (method, path, query or body),
* 503 if Redis, which keeps the keys, does not answer.

Kept are successes, and refusals that follow from the request alone; after any other
answer the key is free again. The claim of a process that was killed ends with its
lease. The retry then works under the same task id, so that a record which the first
has stored is found instead of stored twice: also when Redis has forgotten the key.

A request without the header never gets near Redis.

What belongs to the layers above is handed in: the store, and how this application
answers errors. The body is read as a whole: what is around this bounds it.
"""

import asyncio
import hashlib
import logging
import re
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any
from uuid import UUID, uuid5

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.core.exceptions import (
    ApplicationError,
    KeyInFlight,
    KeyReused,
    KeyStoreUnavailable,
    Malformed,
)
from app.core.ids import given_task_id
from app.core.keys import Answer, Claim, Held, Keys
from chassis.telemetry import tracing

logger = logging.getLogger(__name__)

_requests = tracing.meter.create_counter(
    "app.idempotency.requests",
    unit="{request}",
    description="Requests with a key, by what was found under it.",
)

HEADER = "Idempotency-Key"
REPLAYED = "Idempotency-Replayed"
MAX_LENGTH = 255

# Refusals that the same body would get again.
DETERMINISTIC = {400, 422}

# What an answer says of its content. The rest belongs to a connection, a browser or
# one request: hop-by-hop fields, cookies, dates, X-Request-ID.
SAFE_HEADERS = {b"content-type", b"content-language", b"location", b"link", b"etag"}

_RAW_HEADER = HEADER.lower().encode()
_NAMESPACE = UUID("6e1b4c0e-5d0c-4f0a-9a55-0d7c3f1c2b61")

# A string as RFC 8941 has it, or the same characters bare, but no separator.
_QUOTED = re.compile(rb'"((?:[ !#-\[\]-~]|\\["\\])*)"')
_BARE = re.compile(rb"[!#-+.-:<-\[\]-~-]+")


def parse_key(values: list[bytes]) -> str:
    """The key that the header's field values spell.

    Raises:
        Malformed: more than one value, none, or characters that a key has not.
    """
    value = values[0].strip(b" \t")
    quoted = _QUOTED.fullmatch(value)
    if quoted:
        value = re.sub(rb"\\(.)", rb"\1", quoted[1])
    if (
        len(values) > 1
        or not (quoted or _BARE.fullmatch(value))
        or not 1 <= len(value) <= MAX_LENGTH
    ):
        raise Malformed(
            f"{HEADER} must be one string of 1 to {MAX_LENGTH} visible characters of "
            'ASCII, such as "8e03978e-40d5-43dd-bc93-6894a57f9324".'
        )
    return value.decode("ascii")


def fingerprint(scope: Scope, body: bytes) -> str:
    """What makes two requests the same one.

    With authentication in front, the caller's identity belongs here too: nobody may
    be given another one's answer.
    """
    digest = hashlib.sha256()
    method, path, query = scope["method"], scope["path"], scope["query_string"]
    for part in (method.encode(), path.encode(), query, body):
        digest.update(b"%d:" % len(part))
        digest.update(part)
    return digest.hexdigest()


class IdempotencyMiddleware:
    """Pure ASGI: the context variable that it sets reaches the endpoint.

    Args:
        keys: gives the store; it exists only once the process serves.
        answer_error: the answer to what reading the body or this module raises.
        max_stored_bytes: longer answers are not kept.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        keys: Callable[[], Keys],
        answer_error: Callable[[Request, Exception], Awaitable[Response]],
        max_stored_bytes: int,
    ) -> None:
        self._app = app
        self._keys = keys
        self._answer_error = answer_error
        self._max_stored_bytes = max_stored_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on what has no key; do the rest once."""
        given = _given_keys(scope)
        if not given:
            await self._app(scope, receive, send)
            return
        request, store = Request(scope, receive), self._keys()
        try:
            key = parse_key(given)
            body = await request.body()
            digest = fingerprint(scope, body)
            claim = await store.claim(key, digest)
            _count(claim, digest)
            if isinstance(claim, Held):
                response = _answer_again(claim, digest)
        except (ApplicationError, HTTPException) as error:
            response = await self._answer_error(request, error)
        except ClientDisconnect:
            return
        else:
            if isinstance(claim, Claim):
                task_id = str(uuid5(_NAMESPACE, f"{digest} {key}"))
                await self._work(store, claim, task_id, body, scope, receive, send)
                return
        await response(scope, receive, send)

    async def _work(
        self,
        store: Keys,
        claim: Claim,
        task_id: str,
        body: bytes,
        scope: Scope,
        receive: Receive,
        send: Send,
    ) -> None:
        async def settle(answer: Answer | None) -> None:
            await _settle(store, claim, answer)

        recorder = _Recorder(send, self._max_stored_bytes, settle)
        token = given_task_id.set(task_id)
        try:
            await self._app(scope, _receive_again(body, receive), recorder)
        except BaseException:
            # After an answer this does nothing: the claim's entry is gone.
            await settle(None)
            raise
        finally:
            given_task_id.reset(token)


def _given_keys(scope: Scope) -> list[bytes]:
    if scope["type"] != "http" or scope["method"] != "POST":
        return []
    return [value for name, value in scope["headers"] if name == _RAW_HEADER]


class _Recorder:
    """Holds an answer back until it is whole and on its way into Redis.

    One above the limit passes through, and is not stored.
    """

    def __init__(
        self,
        send: Send,
        limit: int,
        settle: Callable[[Answer | None], Coroutine[Any, Any, None]],
    ) -> None:
        self._send = send
        self._limit = limit
        self._settle = settle
        self._start: Message = {}
        self._body = bytearray()
        self._held: list[Message] = []
        self._size = 0

    async def __call__(self, message: Message) -> None:
        """ASGI's ``send``."""
        self._held.append(message)
        if message["type"] == "http.response.start":
            self._start = message
            return
        part = message.get("body", b"")
        self._size += len(part)
        fits = self._size <= self._limit
        if fits:
            self._body += part
        if message.get("more_body", False):
            if not fits:
                await self._pass_on()
            return
        # Redis works while the answer travels; its command leaves first.
        settling = asyncio.create_task(self._settle(self._answer() if fits else None))
        await asyncio.sleep(0)
        try:
            await self._pass_on()
        finally:
            await settling

    async def _pass_on(self) -> None:
        held, self._held = self._held, []
        for message in held:
            await self._send(message)

    def _answer(self) -> Answer | None:
        status: int = self._start["status"]
        if not (200 <= status < 300 or status in DETERMINISTIC):
            return None
        headers = [
            (name.decode("latin-1"), value.decode("latin-1"))
            for name, value in self._start["headers"]
            if name.lower() in SAFE_HEADERS
        ]
        return Answer(status, headers, bytes(self._body))


async def _settle(store: Keys, claim: Claim, answer: Answer | None) -> None:
    """Keep the answer, or let go of the key; the request itself is done either way."""
    try:
        if answer is None:
            await store.release(claim)
        elif not await store.complete(claim, answer):
            logger.warning("A request outlived the lease of its idempotency key")
    except KeyStoreUnavailable:
        logger.warning("An idempotency key stays taken until its lease ends")


def _count(claim: Claim | Held, digest: str) -> None:
    if isinstance(claim, Claim):
        outcome = "new"
    elif claim.fingerprint != digest:
        outcome = "reused"
    else:
        outcome = "in_flight" if claim.answer is None else "replayed"
    _requests.add(1, {"app.idempotency.outcome": outcome})


def _answer_again(held: Held, digest: str) -> Response:
    if held.fingerprint != digest:
        raise KeyReused(f"This {HEADER} was sent with another request.")
    if held.answer is None:
        raise KeyInFlight(f"A request with this {HEADER} is being worked on.")
    headers = {**dict(held.answer.headers), REPLAYED: "true"}
    return Response(held.answer.body, held.answer.status, headers)


def _receive_again(body: bytes, receive: Receive) -> Receive:
    """ASGI's ``receive`` for a body that has been read."""
    messages: list[Message] = [{"type": "http.request", "body": body}]

    async def replay() -> Message:
        return messages.pop() if messages else await receive()

    return replay
