"""How the middleware counts requests, and what else an operator sees of it."""

import logging
from typing import Any

import pytest
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.testclient import TestClient

from app.core import idempotency
from app.core.ids import repeat_with
from app.core.keys import Answer, Claim, Held
from chassis.context import current_principal
from tests.unit.test_idempotency import (
    Endpoint,
    MemoryStore,
    client_of,
    collaborators,
    post,
)


class Counter:
    """In place of the metric."""

    def __init__(self) -> None:
        self.outcomes: list[str] = []

    def add(self, amount: int, attributes: dict[str, str]) -> None:
        assert amount == 1
        self.outcomes.append(attributes["app.idempotency.outcome"])


def test_requests_are_counted_by_what_the_store_held(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    counter, store = Counter(), MemoryStore()
    monkeypatch.setattr(idempotency, "_requests", counter)
    client = client_of(Endpoint(), **collaborators(store))
    post(client)
    post(client)
    post(client, content=b"other")
    digest = store.entries["k"].fingerprint
    store.entries["k"] = Held(digest, None)
    post(client)
    store.entries["k"] = Held(digest, Answer(200, [], None))  # it was too long
    post(client)
    expected = ["new", "replayed", "reused", "in_flight", "replayed"]
    assert counter.outcomes == expected


def test_a_lease_that_ended_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    class Late(MemoryStore):
        async def complete(self, claim: Claim, answer: Answer) -> bool:
            await super().complete(claim, answer)
            return not is_late

    for is_late in (False, True):
        with caplog.at_level(logging.WARNING, "app.core.idempotency"):
            assert post(client_of(Endpoint(), **collaborators(Late()))).is_success
        assert ("outlived the lease" in caplog.text) is is_late


def test_a_redirect_explains_itself_in_plain_text() -> None:
    endpoint = Endpoint()
    client = client_of(endpoint, **collaborators(MemoryStore()))
    endpoint.answer = StreamingResponse(iter([b"a" * 101]), 200, {"Location": "/x"})
    post(client)
    again = post(client)
    assert again.status_code == 303
    assert again.headers["content-type"].startswith("text/plain")


def test_a_repeated_request_gets_no_secret() -> None:
    class Secret(Endpoint):
        async def serve(self, request: Request) -> Response:
            answer = await super().serve(request)
            repeat_with(b"without the secret")
            return answer

    endpoint = Secret()
    client: TestClient = client_of(endpoint, **collaborators(MemoryStore()))
    endpoint.answer = Response(b"secret")
    assert post(client).content == b"secret"
    assert post(client).content == b"without the secret"
    assert client.post("/work").content == b"secret"  # no key, nothing to repeat


def test_two_callers_with_one_key_never_meet() -> None:
    store, endpoint = MemoryStore(), Endpoint()
    client = client_of(endpoint, **collaborators(store))
    for caller in ("alice", "bob", "alice"):
        token = current_principal.set(caller)
        try:
            assert post(client).status_code == 200
        finally:
            current_principal.reset(token)
    assert len(endpoint.bodies) == len(store.entries) == 2
    assert not any("alice" in name for name in store.entries)


async def test_after_its_body_a_request_hears_of_the_client() -> None:
    waiting: list[dict[str, Any]] = [
        {"type": "http.request", "body": b"body"},
        {"type": "http.disconnect"},
    ]
    heard = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        heard.extend([await receive(), await receive()])

    async def receive() -> Any:
        return waiting.pop(0)

    async def send(_: Any) -> None:
        raise AssertionError

    scope = {"type": "http", "method": "POST", "path": "/", "query_string": b""}
    scope["headers"] = [(b"idempotency-key", b"k")]
    middleware = idempotency.IdempotencyMiddleware(app, **collaborators(MemoryStore()))
    await middleware(scope, receive, send)
    assert heard == [
        {"type": "http.request", "body": b"body"},
        {"type": "http.disconnect"},
    ]
