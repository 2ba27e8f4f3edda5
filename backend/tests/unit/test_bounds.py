"""The limits hold for endpoints that declare none: those of `tests.team`."""

import sys
from asyncio import CancelledError
from collections.abc import Iterator
from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

import pytest
from fastapi.testclient import TestClient
from httpx2 import Response
from starlette.types import Message, Receive, Scope, Send

from app.api.middleware.bounds import MAX_ADDRESS_BYTES, BoundsMiddleware
from app.api.strict_json import BodyRefused
from app.core.budget import Budget
from app.core.exceptions import TooBusy
from tests.team import LARGE, PREFIX, create_team_app

LIMIT = 1000
JSON = {"Content-Type": "application/json"}
TEXT = {"Content-Type": "text/plain"}


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> Iterator[TestClient]:
    monkeypatch.setenv("MAX_BODY_BYTES", str(LIMIT))
    app = create_team_app()
    app.state.resources = SimpleNamespace(keys=None)
    yield TestClient(app, raise_server_exceptions=False)


def assert_problem(answer: Response, status: int, code: str) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    content: dict[str, Any] = answer.json()
    assert (content["status"], content["code"]) == (status, code)
    assert content["request_id"] == answer.headers["x-request-id"]
    return content


@pytest.mark.parametrize(
    ("query", "place"),
    [
        ("word=a%00b", "query.word"),
        ("number=1&word=%00", "query.word"),
        ("unknown=%00", "query.unknown"),
        ("%00=a", "query"),
        ("word=%ff", "query.word"),
        ("word=%ed%a0%80", "query.word"),
        ("word=%C3", "query.word"),
    ],
)
def test_invalid_text_in_queries(client: TestClient, query: str, place: str) -> None:
    problem = assert_problem(
        client.get(f"{PREFIX}/echo/a?{query}"), 422, "invalid_values"
    )
    assert problem["detail"].startswith(f"{place}: Text must")
    assert ".".join(problem["errors"][0]["loc"]) == place


@pytest.mark.parametrize("name", ["a%00b", "%ff", "%ed%a0%80"])
def test_invalid_text_in_paths(client: TestClient, name: str) -> None:
    answer = client.get(f"{PREFIX}/echo/{name}")
    problem = assert_problem(answer, 422, "invalid_values")
    assert problem["detail"].startswith("path: Text must")


def test_text_beyond_ascii_passes(client: TestClient) -> None:
    answer = client.get(f"{PREFIX}/echo/%C3%A9", params={"word": "😀 +&%"})
    assert answer.json() == {"name": "é", "word": "😀 +&%", "number": 0}


@pytest.mark.budget("bounds.MAX_ADDRESS_BYTES")
def test_an_address_has_a_maximum_length(client: TestClient) -> None:
    start = f"{PREFIX}/echo/a?word="
    room = MAX_ADDRESS_BYTES - len(start) + 1  # minus the question mark
    assert client.get(start + "x" * room).status_code == 200
    assert_problem(client.get(start + "x" * (room + 1)), 414, "uri_too_long")


@pytest.mark.promise(
    "docs/adr/0009-strict-json.md",
    "A middleware applies this to every endpoint automatically.",
)
@pytest.mark.parametrize("path", ["notes", "raw-json", "stream"])
@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"{", 400, "malformed_json"),
        (b'{"title": NaN}', 400, "malformed_json"),
        (b'{"title": "\xff"}', 400, "malformed_json"),
        ('{"title": "a"}'.encode("utf-16-le"), 400, "malformed_json"),
        (rb'{"title": "\u0000"}', 422, "unstorable_text"),
        (rb'{"title": "\ud800"}', 422, "unstorable_text"),
        (b'{"title": "a", "extra": 1e400}', 422, "not_finite"),
        (b'{"title": "a", "extra": %b}' % (b"[" * 101 + b"]" * 101), 422, "too_deep"),
    ],
    ids=lambda value: value[:24] if isinstance(value, bytes) else None,
)
def test_json_is_strict_everywhere(
    client: TestClient, path: str, body: bytes, status: int, code: str
) -> None:
    answer = client.post(f"{PREFIX}/{path}", content=body, headers=JSON)
    assert_problem(answer, status, code)


# From 3.12 on, Python's `json` reads deeper than that, and finds the end missing.
DEEP = (422, "too_deep") if sys.version_info < (3, 12) else (400, "malformed_json")


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"", 422, "invalid_values"),
        (b"{", 400, "malformed_json"),
        (b'"\xff"', 400, "malformed_json"),
        (b"[" * 990, *DEEP),
    ],
    ids=["empty", "broken", "not UTF-8", "deep"],
)
@pytest.mark.parametrize("headers", [JSON, TEXT, {}], ids=["JSON", "text", "neither"])
def test_json_that_an_endpoint_reads_itself(
    client: TestClient, headers: dict[str, str], body: bytes, status: int, code: str
) -> None:
    place = f"{PREFIX}/own-json"
    assert_problem(client.post(place, content=body, headers=headers), status, code)
    assert client.post(place, content=b'{"a": 1}', headers=headers).json() == {"a": 1}


def test_other_invalid_json_is_a_bug(client: TestClient) -> None:
    answer = client.post(f"{PREFIX}/broken-json", content=b"{", headers=TEXT)
    assert_problem(answer, 500, "internal_error")


def test_only_bodies_sent_as_json_are_parsed(client: TestClient) -> None:
    answer = client.put(f"{PREFIX}/raw", content=b'"\\u0000"', headers=TEXT)
    assert (answer.status_code, answer.json()) == (200, 8)


BODIES: list[tuple[str, str, dict[str, Any]]] = [
    ("POST", "notes", {"headers": JSON}),
    ("PUT", "raw", {"headers": JSON}),
    ("PUT", "raw", {"headers": TEXT}),
    ("POST", "stream", {"headers": TEXT}),
    ("POST", "stream", {"headers": JSON}),
    (
        "POST",
        "form",
        {"headers": {"Content-Type": "application/x-www-form-urlencoded"}},
    ),
    (
        "POST",
        "uploads",
        {"headers": {"Content-Type": "multipart/form-data; boundary=x"}},
    ),
]


@pytest.mark.parametrize("has_length", [True, False])
@pytest.mark.parametrize(("method", "path", "options"), BODIES)
def test_bodies_are_bounded(
    client: TestClient,
    method: str,
    path: str,
    options: dict[str, Any],
    has_length: bool,
) -> None:
    body = b"--x\r\n" + b" " * (LIMIT + 1)
    content: Any = body if has_length else iter([body[:10], body[10:]])
    answer = client.request(method, f"{PREFIX}/{path}", content=content, **options)
    problem = assert_problem(answer, 413, "content_too_large")
    assert problem["detail"] == f"The body must not be larger than {LIMIT} bytes."


def test_the_largest_body_passes(client: TestClient) -> None:
    for path, kind in (("stream", TEXT), ("stream", JSON)):
        body = b'"%b"' % (b"x" * (LIMIT - 2))
        answer = client.post(f"{PREFIX}/{path}", content=body, headers=kind)
        assert answer.json() == LIMIT


async def test_a_body_too_large_after_the_answer_began_ends() -> None:
    """The answer has begun: no other can be sent."""
    received: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        while "http.disconnect" not in received:
            received.append((await receive())["type"])

    async def receive() -> Message:
        return {"type": "http.request", "body": b"x" * 600, "more_body": True}

    async def send(_: Message) -> None: ...

    scope = {"type": "http", "path": "/", "query_string": b"", "headers": []}
    bounded = BoundsMiddleware(
        app, max_body_bytes=LIMIT, max_json_values=LIMIT, budget=Budget(LIMIT)
    )
    await bounded(scope, receive, send)
    assert received == ["http.request", "http.disconnect"]


@pytest.mark.promise(
    "ARCHITECTURE.md", "limits the input of every endpoint before any processing"
)
@pytest.mark.parametrize("kind", [b"text/plain", b"application/json"])
async def test_a_body_without_end_is_read_up_to_the_limit(kind: bytes) -> None:
    """A client may send one in pieces, past the gateway."""
    taken = 0

    async def receive() -> Message:
        nonlocal taken
        taken += 400
        assert taken < 10 * LIMIT
        return {"type": "http.request", "body": b"1" * 400, "more_body": True}

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        with pytest.raises(BodyRefused) as refused:
            while True:
                await receive()
        assert refused.value.status_code == 413

    async def send(_: Message) -> None: ...

    budget = Budget(LIMIT)
    scope = {"type": "http", "path": "/", "query_string": b"", "method": "POST"}
    scope["headers"] = [(b"content-type", kind)]
    bounded = BoundsMiddleware(
        app, max_body_bytes=LIMIT, max_json_values=LIMIT, budget=budget
    )
    await bounded(scope, receive, send)
    assert LIMIT < taken <= LIMIT + 400


@pytest.mark.parametrize("ending", [None, LookupError("a bug"), CancelledError()])
async def test_a_request_without_an_answer_gives_its_bytes_back(
    ending: BaseException | None,
) -> None:
    size = 30_000

    async def receive() -> Message:
        return {"type": "http.request", "body": b"1" * size, "more_body": False}

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        with pytest.raises(TooBusy):
            budget.hold(size)
        if ending:
            raise ending

    async def send(_: Message) -> None: ...

    budget = Budget(size)
    scope = {"type": "http", "path": "/", "query_string": b"", "headers": []}
    bounded = BoundsMiddleware(
        app, max_body_bytes=size, max_json_values=LIMIT, budget=budget
    )
    for _ in range(2):
        with pytest.raises(type(ending)) if ending else nullcontext():
            await bounded(scope, receive, send)
    budget.hold(size)


@pytest.mark.parametrize("size", [LIMIT * 10, LARGE])
def test_a_route_may_have_another_limit(client: TestClient, size: int) -> None:
    for has_length in (True, False):
        frame = b'--x\r\nContent-Disposition: form-data; name="file"\r\n\r\n'
        body = frame + b"a" * size + b"\r\n--x--\r\n"
        content: Any = body if has_length else iter([body])
        headers = {"Content-Type": "multipart/form-data; boundary=x"}
        answer = client.post(
            f"{PREFIX}/large-uploads", content=content, headers=headers
        )
        if size < LARGE:
            assert (answer.status_code, answer.json()) == (200, size)
        else:
            problem = assert_problem(answer, 413, "content_too_large")
            assert str(LARGE) in problem["detail"]


def test_an_upload_arrives(client: TestClient) -> None:
    answer = client.post(f"{PREFIX}/uploads", files={"file": ("grüße.txt", b"abc")})
    assert answer.json() == {"name": "grüße.txt", "size": 3}


@pytest.mark.parametrize(
    ("path", "kind", "wanted"),
    [
        ("notes", "text/plain", "application/json"),
        ("notes", "multipart/form-data; boundary=x", "application/json"),
        ("notes", "", "application/json"),
        ("form", "application/json", "application/x-www-form-urlencoded"),
        ("uploads", "application/json", "multipart/form-data"),
        ("uploads", "", "multipart/form-data"),
    ],
)
def test_a_body_of_another_media_type(
    client: TestClient, path: str, kind: str, wanted: str
) -> None:
    headers = {"Content-Type": kind} if kind else {}
    answer = client.post(f"{PREFIX}/{path}", content=b"{}", headers=headers)
    problem = assert_problem(answer, 415, "unsupported_media_type")
    assert problem["detail"] == f"Send the body as {wanted}."


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        (b"", "multipart/form-data; boundary=x", 422),
        (b"--x--\r\n", "multipart/form-data; boundary=x", 422),
        (b"--x\r\nX\r\n\r\n", "multipart/form-data; boundary=x", 400),
        (b"no boundary", "multipart/form-data; boundary=x", 400),
        (b"--x\r\n", "multipart/form-data", 400),
        (b"a=b", "application/x-www-form-urlencoded", 422),
        (b"", "Multipart/Form-Data ; boundary=x", 422),
    ],
)
def test_malformed_uploads(
    client: TestClient, body: bytes, kind: str, status: int
) -> None:
    headers = {"Content-Type": kind}
    answer = client.post(f"{PREFIX}/uploads", content=body, headers=headers)
    assert_problem(answer, status, "bad_request" if status == 400 else "invalid_values")


@pytest.mark.parametrize("kind", ["text/csv", "Text/CSV; charset=utf-8", "text/plain"])
def test_an_endpoint_for_another_media_type_judges_its_bodies(
    client: TestClient, kind: str
) -> None:
    """Some clients send text under another name, and the endpoint may take it."""
    headers = {"Content-Type": kind}
    answer = client.post(f"{PREFIX}/rows", content=b"a,b", headers=headers)
    assert (answer.status_code, answer.json()) == (200, "a,b")
    answer = client.post(f"{PREFIX}/rows", content=b"", headers=headers)
    assert_problem(answer, 422, "invalid_values")


@pytest.mark.parametrize("length", ["9" * 19, "9" * 5000])
def test_a_length_beyond_all_bounds_is_no_bug(client: TestClient, length: str) -> None:
    headers = {**JSON, "Content-Length": length}
    answer = client.post(f"{PREFIX}/notes", content=b'{"title": ""}', headers=headers)
    assert answer.status_code in (200, 413)
