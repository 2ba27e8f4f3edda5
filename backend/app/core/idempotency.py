"""``Idempotency-Key``: a repeated POST is processed once.

Follows the IETF's draft-ietf-httpapi-idempotency-key-header. The first request with a
key claims it and is processed. Another request with the key is answered:

* 409 with ``Retry-After`` while the first is in progress,
* with the first one's answer afterwards, marked ``Idempotency-Replayed: true``,
* 422 if it differs (method, path, query or body),
* 503 if Redis, which keeps the keys, does not answer or is full.

Successes are stored, and refusals that depend on the request alone; any other answer
frees the key. Redis stores little: if the record of the work holds the body, it is read
from there, and a body above the limit is not stored. A repeated request then gets a 303
to what the first one created.

The claim of a killed process ends with its lease. The retry then uses the same task id,
so it finds a record that the first request stored instead of storing a second one, even
when Redis has lost the key.

A request without the header never uses Redis.

The layers above pass in the store and the functions that answer errors and read an
answer from a record. The body is read as a whole: the middleware around this one limits
it.
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
from chassis.context import current_principal
from chassis.telemetry import tracing

logger = logging.getLogger(__name__)

_requests = tracing.meter.create_counter(
    "app.idempotency.requests",
    unit="{request}",
    description="Requests with an idempotency key, by what the store held.",
)

HEADER = "Idempotency-Key"
REPLAYED = "Idempotency-Replayed"
MAX_LENGTH = 255

_RAW_HEADER = HEADER.lower().encode()
_NAMESPACE = UUID("6e1b4c0e-5d0c-4f0a-9a55-0d7c3f1c2b61")

# A string of RFC 8941, or the same characters unquoted but without separators.
_QUOTED = re.compile(rb'"((?:[ !#-\[\]-~]|\\["\\])*)"')
_BARE = re.compile(rb"[!#-+.-:<-\[\]-~-]+")


def parse_key(values: list[bytes]) -> str:
    """The key in the header's field values.

    Raises:
        Malformed: no value, several values, or characters that a key must not have.
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
            f"{HEADER} must be one string of 1 to {MAX_LENGTH} visible ASCII "
            'characters, such as "8e03978e-40d5-43dd-bc93-6894a57f9324".'
        )
    return value.decode("ascii")


def fingerprint(scope: Scope, body: bytes) -> str:
    """Equal for requests that count as the same.

    They have the same caller: nobody may receive another one's answer.
    """
    digest = hashlib.sha256()
    method, path, query = scope["method"], scope["path"], scope["query_string"]
    parts = [method.encode(), path.encode(), query, body]
    if caller := current_principal.get():
        parts.append(caller.encode())
    for part in parts:
        digest.update(b"%d:" % len(part))
        digest.update(part)
    return digest.hexdigest()


class IdempotencyMiddleware:
    """Pure ASGI: the context variable that it sets reaches the endpoint.

    Args:
        keys: returns the store, which exists only once the process serves.
        answer_error: the answer to an error of this module or of reading the body.
        read_answer: the body of the answer, from the record with that task id; raises
            NotFound if the record has been deleted.
        max_stored_bytes: for longer answers, only status and headers are stored.
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
        """Pass on requests without a key; process the others once."""
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
            claim = await store.claim(_own(key), digest)
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
            # After an answer this has no effect: the claim's entry is gone.
            await settle(None)
            raise
        finally:
            keyed_work.reset(token)


def _own(key: str) -> str:
    """The key's name in the store: two callers with one key never meet."""
    caller = current_principal.get()
    if caller is None:
        return key
    # No key contains a space outside quotes, and a digest has a fixed length.
    return f"{hashlib.sha256(caller.encode()).hexdigest()} {key}"


def _given_keys(scope: Scope) -> list[bytes]:
    if scope["type"] != "http" or scope["method"] != "POST":
        return []
    return [value for name, value in scope["headers"] if name == _RAW_HEADER]


async def _settle(store: Keys, claim: Claim, answer: Answer | None) -> None:
    """Store the answer or release the key; neither changes the request's answer."""
    try:
        if answer is None:
            await store.release(claim)
        elif not await store.complete(claim, answer):
            logger.warning("A request outlived the lease of its idempotency key")
    except KeyStoreUnavailable:
        logger.info("An idempotency key stays claimed until its lease ends")


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
        raise KeyReused(f"This {HEADER} was used for another request.")
    if held.answer is None:
        raise KeyInFlight(f"A request with this {HEADER} is still being processed.")
    return held.answer


def _answer_without_body(answer: Answer) -> Response:
    """The answer if the body was too long to store: it says where to find the
    result."""
    told = f"It was already answered with {answer.status}; do not repeat it."
    location = dict(answer.headers).get("location")
    if location is None:
        raise AnswerNotKept(f"{told} The answer was too long to store.")
    text = f"{told} The answer was too long to store; Location leads to the result."
    headers = {"Location": location, REPLAYED: "true"}
    return Response(text, 303, headers, media_type="text/plain")


def _receive_again(body: bytes, receive: Receive) -> Receive:
    """ASGI's ``receive`` for a body that was already read."""
    messages: list[Message] = [{"type": "http.request", "body": body}]

    async def replay() -> Message:
        return messages.pop() if messages else await receive()

    return replay
