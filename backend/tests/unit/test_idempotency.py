"""The middleware with a store in memory."""

import asyncio
import logging
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.testclient import TestClient
from starlette.types import ASGIApp, Message, Scope

from app.api.errors import answer_error
from app.api.middleware.bounds import BoundsMiddleware
from app.api.middleware.request_id import RequestIdMiddleware
from app.core.budget import Budget
from app.core.exceptions import AnswerNotKept, KeyStoreUnavailable
from app.core.idempotency import IdempotencyMiddleware, fingerprint
from app.core.ids import answer_is_in_record, new_task_id
from app.core.keys import Answer, Claim, Held
from app.models.schemas import Problem


class MemoryStore:
    """The key store's interface in memory; ``broken`` makes a step fail."""

    def __init__(self) -> None:
        self.entries: dict[str, Held] = {}
        self.calls: list[str] = []
        self.broken: str | None = None

    def _called(self, name: str) -> None:
        self.calls.append(name)
        if self.broken == name:
            raise KeyStoreUnavailable("gone")

    async def claim(self, key: str, digest: str) -> Claim | Held:
        self._called("claim")
        if key in self.entries:
            return self.entries[key]
        self.entries[key] = Held(digest, None)
        return Claim(key, digest, b"")

    async def complete(self, claim: Claim, answer: Answer) -> bool:
        self._called("complete")
        self.entries[claim.name] = Held(claim.fingerprint, answer)
        return True

    async def release(self, claim: Claim) -> None:
        self._called("release")
        if self.entries[claim.name].answer is None:
            del self.entries[claim.name]


class Endpoint:
    """Answers on request, and counts."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        self.task_ids: list[str] = []
        self.answer: Response | Exception = JSONResponse({"done": True})
        self.record: str | None = None  # the answer's record; "own": the work's record

    async def serve(self, request: Request) -> Response:
        self.bodies.append(await request.body())
        self.task_ids.append(new_task_id())
        if isinstance(self.answer, Exception):
            raise self.answer
        if self.record:
            own = self.record == "own"
            answer_is_in_record(self.task_ids[-1] if own else self.record)
        return self.answer


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def endpoint() -> Endpoint:
    return Endpoint()


async def read_answer(task_id: str) -> bytes:
    return f"record {task_id}".encode()


async def find_nothing(task_id: str) -> bytes:
    raise AnswerNotKept("It has been deleted.")


def collaborators(store: MemoryStore) -> dict[str, Any]:
    return {
        "read_answer": read_answer,
        "keys": lambda: store,
        "answer_error": answer_error,
        "max_stored_bytes": 100,
    }


@pytest.fixture
def client(store: MemoryStore, endpoint: Endpoint) -> TestClient:
    return client_of(endpoint, **collaborators(store))


def client_of(endpoint: Endpoint, **options: Any) -> TestClient:
    routes = [Route("/work", endpoint.serve, methods=["GET", "POST"])]
    app = Starlette(routes=routes)
    app.add_middleware(IdempotencyMiddleware, **options)
    app.add_middleware(
        BoundsMiddleware,
        max_body_bytes=1000,
        max_json_values=1000,
        budget=Budget(2**20),
    )
    app.add_middleware(RequestIdMiddleware)
    return TestClient(app, raise_server_exceptions=False, follow_redirects=False)


def post(client: TestClient, key: str = "k", content: bytes = b"{}") -> Any:
    return client.post("/work", content=content, headers={"Idempotency-Key": key})


@pytest.mark.promise(
    "ARCHITECTURE.md", "A POST with an `Idempotency-Key` is executed once"
)
def test_a_repeated_request_gets_the_first_answer(
    client: TestClient, endpoint: Endpoint
) -> None:
    endpoint.answer = JSONResponse(
        {"a": 1}, 201, {"Location": "/x", "Set-Cookie": "s=1", "X-Trace": "1"}
    )
    first, second = post(client), post(client)
    assert len(endpoint.bodies) == 1
    assert (second.status_code, second.content) == (201, first.content)
    assert second.headers["location"] == "/x"
    assert second.headers["idempotency-replayed"] == "true"
    assert "idempotency-replayed" not in first.headers
    assert "set-cookie" in first.headers and "set-cookie" not in second.headers
    assert "x-trace" not in second.headers
    assert first.headers["x-request-id"] != second.headers["x-request-id"]


def test_the_endpoint_gets_the_body(client: TestClient, endpoint: Endpoint) -> None:
    post(client, content=b"x" * 1000)
    assert endpoint.bodies == [b"x" * 1000]


def test_another_body_under_the_same_key(
    client: TestClient, endpoint: Endpoint
) -> None:
    post(client)
    answer = post(client, content=b"{} ")
    assert answer.status_code == 422
    assert Problem(**answer.json()).code == "idempotency_key_reused"
    assert len(endpoint.bodies) == 1


def test_while_the_first_request_is_in_progress(
    client: TestClient, store: MemoryStore, endpoint: Endpoint
) -> None:
    scope = {"method": "POST", "path": "/work", "query_string": b""}
    store.entries["k"] = Held(fingerprint(scope, b"{}"), None)
    answer = post(client)
    assert answer.status_code == 409
    assert Problem(**answer.json()).code == "idempotency_key_in_flight"
    assert int(answer.headers["retry-after"]) > 0
    assert post(client, content=b"other").status_code == 422
    assert endpoint.bodies == []


@pytest.mark.parametrize("status", [401, 404, 409, 415, 429, 500, 503, 504, 302])
def test_temporary_errors_are_not_stored(
    client: TestClient, endpoint: Endpoint, status: int
) -> None:
    endpoint.answer = Response(status_code=status)
    assert post(client).status_code == status
    endpoint.answer = Response(status_code=200)
    again = post(client)
    assert again.status_code == 200
    assert "idempotency-replayed" not in again.headers
    assert endpoint.task_ids[0] == endpoint.task_ids[1]


@pytest.mark.parametrize("status", [200, 201, 202, 204, 400, 422])
def test_lasting_answers_are_stored(
    client: TestClient, endpoint: Endpoint, status: int
) -> None:
    endpoint.answer = Response(status_code=status)
    post(client)
    assert post(client).status_code == status
    assert len(endpoint.bodies) == 1


@pytest.mark.promise(
    "docs/adr/0010-idempotency-fails-closed.md",
    "The API claims a key with a lease before the work, and completes or releases"
    " it afterwards.",
)
def test_a_bug_frees_the_key(client: TestClient, endpoint: Endpoint) -> None:
    endpoint.answer = RuntimeError("bug")
    assert post(client).status_code == 500
    endpoint.answer = Response(status_code=200)
    assert post(client).status_code == 200


def test_a_request_that_is_cancelled_frees_the_key(store: MemoryStore) -> None:
    async def cancelled(*_: Any) -> None:
        raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        run(cancelled, store)
    assert store.entries == {}


def test_a_client_that_leaves_while_it_sends_claims_nothing(store: MemoryStore) -> None:
    async def never(*_: Any) -> None:
        raise AssertionError

    run(never, store, {"type": "http.disconnect"})
    assert store.calls == []


def run(app: ASGIApp, store: MemoryStore, *messages: Message) -> None:
    """Send a request with a key, without a server in between."""
    waiting = list(messages or [{"type": "http.request", "body": b""}])

    async def receive() -> Message:
        return waiting.pop(0)

    async def send(_: Message) -> None:
        raise AssertionError

    scope: Scope = {
        "type": "http",
        "method": "POST",
        "path": "/work",
        "query_string": b"",
        "headers": [(b"idempotency-key", b"k")],
    }
    middleware = IdempotencyMiddleware(app, **collaborators(store))
    asyncio.run(middleware(scope, receive, send))


@pytest.mark.budget("IDEMPOTENCY_MAX_STORED_BYTES")
def test_a_streamed_answer_is_stored_whole(
    client: TestClient, endpoint: Endpoint
) -> None:
    endpoint.answer = StreamingResponse(iter([b"a" * 40, b"b" * 60]))
    first = post(client)
    assert post(client).content == first.content == b"a" * 40 + b"b" * 60


LONG = [[b"a" * 101], [b"a" * 60] * 3]


@pytest.mark.parametrize("parts", LONG)
@pytest.mark.budget("IDEMPOTENCY_MAX_STORED_BYTES")
def test_a_repeated_request_is_redirected_if_the_answer_was_long(
    client: TestClient, store: MemoryStore, endpoint: Endpoint, parts: list[bytes]
) -> None:
    endpoint.answer = StreamingResponse(iter(parts), 201, {"Location": "/made/1"})
    assert post(client).content == b"".join(parts)

    again = post(client)

    assert (again.status_code, again.headers["location"]) == (303, "/made/1")
    assert "answered with 201" in again.text
    assert again.headers["idempotency-replayed"] == "true"
    assert len(endpoint.bodies) == 1
    held = store.entries["k"].answer
    assert held and held.body is None


@pytest.mark.parametrize("parts", LONG)
def test_a_long_answer_without_location_is_a_conflict(
    client: TestClient, endpoint: Endpoint, parts: list[bytes]
) -> None:
    endpoint.answer = StreamingResponse(iter(parts))
    assert post(client).content == b"".join(parts)
    again = post(client)
    assert again.status_code == 409
    assert Problem(**again.json()).code == "idempotency_answer_not_kept"
    assert "answered with 200" in again.json()["detail"]
    assert len(endpoint.bodies) == 1


def test_a_long_refusal_is_computed_again(
    client: TestClient, endpoint: Endpoint
) -> None:
    endpoint.answer = Response(b"a" * 101, 422)
    assert post(client).content == post(client).content == b"a" * 101
    assert len(endpoint.bodies) == 2


@pytest.mark.parametrize("size", [1, 101])
def test_an_answer_in_the_record_is_not_stored_twice(
    client: TestClient, store: MemoryStore, endpoint: Endpoint, size: int
) -> None:
    endpoint.record = "own"
    endpoint.answer = Response(b"a" * size, 200, {"Location": "/records/1"})
    assert post(client).content == b"a" * size

    again = post(client)

    assert again.content == f"record {endpoint.task_ids[0]}".encode()
    assert (again.status_code, again.headers["location"]) == (200, "/records/1")
    assert again.headers["idempotency-replayed"] == "true"
    assert len(endpoint.bodies) == 1
    held = store.entries["k"].answer
    assert held and held.body is None


def test_a_refusal_is_stored_without_a_record(
    client: TestClient, endpoint: Endpoint
) -> None:
    endpoint.record = "own"
    endpoint.answer = Response(b"no", 422)
    assert post(client).content == post(client).content == b"no"


def test_the_record_was_deleted_since(store: MemoryStore, endpoint: Endpoint) -> None:
    endpoint.record = "own"
    options = collaborators(store) | {"read_answer": find_nothing}
    client = client_of(endpoint, **options)
    post(client)
    again = post(client)
    assert again.status_code == 409
    assert Problem(**again.json()).code == "idempotency_answer_not_kept"
    assert len(endpoint.bodies) == 1


def test_another_record_is_not_the_answer(
    client: TestClient, endpoint: Endpoint
) -> None:
    endpoint.record = "another"
    endpoint.answer = Response(b"own")
    assert post(client).content == post(client).content == b"own"


@pytest.mark.promise(
    "docs/adr/0010-idempotency-fails-closed.md", "requests without a key never need it"
)
def test_no_key_no_store(
    client: TestClient, store: MemoryStore, endpoint: Endpoint
) -> None:
    store.broken = "claim"
    assert client.post("/work", content=b"{}").status_code == 200
    assert client.get("/work", headers={"Idempotency-Key": "k"}).status_code == 200
    assert store.calls == []
    assert len(set(endpoint.task_ids)) == 2


@pytest.mark.promise(
    "SEQUENCE-DIAGRAMS.md",
    "If Redis is down or full: 503 idempotency_unavailable, no work is done.",
)
@pytest.mark.promise(
    "docs/adr/0010-idempotency-fails-closed.md",
    "The API refuses a request with an `Idempotency-Key` (503) if Redis does not "
    "answer or is full.",
)
def test_without_redis_no_request_is_processed(
    client: TestClient, store: MemoryStore, endpoint: Endpoint
) -> None:
    store.broken = "claim"
    answer = post(client)
    assert answer.status_code == 503
    assert Problem(**answer.json()).code == "idempotency_unavailable"
    assert int(answer.headers["retry-after"]) > 0
    assert endpoint.bodies == []


@pytest.mark.parametrize(("step", "status"), [("complete", 200), ("release", 503)])
def test_losing_redis_midway_changes_no_answer(
    client: TestClient,
    store: MemoryStore,
    endpoint: Endpoint,
    step: str,
    status: int,
    caplog: pytest.LogCaptureFixture,
) -> None:
    store.broken = step
    endpoint.answer = Response(status_code=status)
    with caplog.at_level(logging.INFO, "app.core.idempotency"):
        assert post(client).status_code == status
    assert "until its lease ends" in caplog.text


def test_a_body_too_large_claims_nothing(
    client: TestClient, store: MemoryStore
) -> None:
    answer = post(client, content=b"x" * 1001)
    assert answer.status_code == 413
    assert Problem(**answer.json()).code == "content_too_large"
    assert store.calls == []


def test_a_malformed_key(client: TestClient, endpoint: Endpoint) -> None:
    answer = post(client, key="two words")
    assert answer.status_code == 400
    assert Problem(**answer.json()).code == "malformed_header"
    assert endpoint.bodies == []


@pytest.mark.promise(
    "docs/adr/0010-idempotency-fails-closed.md",
    "The task id is derived from the key, so a retry after a crash finds the "
    "first record.",
)
def test_the_task_id_follows_from_key_and_request(
    client: TestClient, store: MemoryStore, endpoint: Endpoint
) -> None:
    for key, content in [("k", b"1"), ("k", b"1"), ("k", b"2"), ("j", b"1")]:
        store.entries.clear()
        post(client, key, content)
    first, again, *others = endpoint.task_ids
    assert first == again
    assert len({first, *others}) == 3
