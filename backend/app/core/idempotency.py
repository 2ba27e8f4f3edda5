"""``Idempotency-Key``: a POST that is sent again is done once.

By the IETF's draft-ietf-httpapi-idempotency-key-header. The first request with a key
claims it and works. Another one with the key is answered:

* 409 with ``Retry-After`` while the first is under way,
* with the first one's answer afterwards, marked ``Idempotency-Replayed: true``,
* 422 if it is another request (method, path, query or body),
* 503 if Redis, which keeps the keys, does not answer or is full.

Kept are successes, and refusals that follow from the request alone; after any other
answer the key is free again. Redis holds little of them: a body that the record of the
work has is read from there, and one above the limit is left out. Who asks for the
latter again is sent to what the first request has made (303).

The claim of a process that was killed ends with its lease. The retry then works under
the same task id, so that a record which the first has stored is found instead of stored
twice: also when Redis has forgotten the key.

A request without the header never gets near Redis.

What belongs to the layers above is handed in: the store, and how this application
answers errors, and reads an answer from a record. The body is read as a whole: what is
around this bounds it.
"""

import hashlib
import logging
import re
from collections.abc import Awaitable, Callable
from uuid import UUID, uuid5

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.core.answer_recorder import AnswerRecorder
from app.core.exceptions import (
    AnswerNotKept,
    ApplicationError,
    KeyInFlight,
    KeyReused,
    KeyStoreUnavailable,
    Malformed,
)
from app.core.ids import KeyedWork, keyed_work
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
        read_answer: the body of an answer, from the record with that task id; raises
            NotFound if it has been deleted.
        max_stored_bytes: of longer answers only status and headers are kept.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        keys: Callable[[], Keys],
        answer_error: Callable[[Request, Exception], Awaitable[Response]],
        read_answer: Callable[[str], Awaitable[bytes]],
        max_stored_bytes: int,
    ) -> None:
        self._app = app
        self._keys = keys
        self._answer_error = answer_error
        self._read_answer = read_answer
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
            task_id = str(uuid5(_NAMESPACE, f"{digest} {key}"))
            claim = await store.claim(key, digest)
            _count(claim, digest)
            if isinstance(claim, Held):
                response = await self._repeat(_finished(claim, digest), task_id)
        except (ApplicationError, HTTPException) as error:
            response = await self._answer_error(request, error)
        except ClientDisconnect:
            return
        else:
            if isinstance(claim, Claim):
                work = KeyedWork(task_id)
                await self._work(store, claim, work, body, scope, receive, send)
                return
        await response(scope, receive, send)

    async def _repeat(self, answer: Answer, task_id: str) -> Response:
        headers = {**dict(answer.headers), REPLAYED: "true"}
        if answer.is_in_record:
            body = await self._read_answer(task_id)
        elif answer.body is None:
            return _answer_without_body(answer)
        else:
            body = answer.body
        return Response(body, answer.status, headers)

    async def _work(
        self,
        store: Keys,
        claim: Claim,
        work: KeyedWork,
        body: bytes,
        scope: Scope,
        receive: Receive,
        send: Send,
    ) -> None:
        async def settle(answer: Answer | None) -> None:
            await _settle(store, claim, answer)

        recorder = AnswerRecorder(send, work, self._max_stored_bytes, settle)
        token = keyed_work.set(work)
        try:
            await self._app(scope, _receive_again(body, receive), recorder)
        except BaseException:
            # After an answer this does nothing: the claim's entry is gone.
            await settle(None)
            raise
        finally:
            keyed_work.reset(token)


def _given_keys(scope: Scope) -> list[bytes]:
    if scope["type"] != "http" or scope["method"] != "POST":
        return []
    return [value for name, value in scope["headers"] if name == _RAW_HEADER]


async def _settle(store: Keys, claim: Claim, answer: Answer | None) -> None:
    """Keep the answer, or let go of the key; the request itself is done either way."""
    try:
        if answer is None:
            await store.release(claim)
        elif not await store.complete(claim, answer):
            logger.warning("A request outlived the lease of its idempotency key")
    except KeyStoreUnavailable:
        logger.info("An idempotency key stays taken until its lease ends")


def _count(claim: Claim | Held, digest: str) -> None:
    if isinstance(claim, Claim):
        outcome = "new"
    elif claim.fingerprint != digest:
        outcome = "reused"
    else:
        outcome = "in_flight" if claim.answer is None else "replayed"
    _requests.add(1, {"app.idempotency.outcome": outcome})


def _finished(held: Held, digest: str) -> Answer:
    if held.fingerprint != digest:
        raise KeyReused(f"This {HEADER} was sent with another request.")
    if held.answer is None:
        raise KeyInFlight(f"A request with this {HEADER} is being worked on.")
    return held.answer


def _answer_without_body(answer: Answer) -> Response:
    """What can be said when the body was too long to be kept: where to find it."""
    told = f"This request was done, and answered {answer.status}; do not do it again."
    location = dict(answer.headers).get("location")
    if location is None:
        raise AnswerNotKept(f"{told} The answer was too long to be kept.")
    text = f"{told} The answer was too long to be kept; see what is at Location."
    headers = {"Location": location, REPLAYED: "true"}
    return Response(text, 303, headers, media_type="text/plain")


def _receive_again(body: bytes, receive: Receive) -> Receive:
    """ASGI's ``receive`` for a body that has been read."""
    messages: list[Message] = [{"type": "http.request", "body": body}]

    async def replay() -> Message:
        return messages.pop() if messages else await receive()

    return replay
