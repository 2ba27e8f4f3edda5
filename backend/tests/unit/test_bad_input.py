"""Bad input and its answers; ``make docs`` writes ``docs/ERRORS.md`` from these."""

import inspect
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest
from fastapi.testclient import TestClient
from httpx2 import Response

from app.api.dependencies import get_record_service
from app.api.errors import STATUS_CODES
from app.core import exceptions
from app.core.exceptions import ApplicationError
from tests.echo import PROCESS, create_echo_app, get_echo_service

ROOT = Path(__file__).parents[3]
DOCUMENT = ROOT / "docs" / "ERRORS.md"

DATABASE = "/api/v1/database"


class Case(NamedTuple):
    """A bad request and its answer."""

    what: str
    status: int
    code: str
    body: bytes | None = None
    headers: dict[str, str] = {}
    path: str = PROCESS
    method: str = "POST"


def payload(text: bytes) -> bytes:
    return b'{"payload": %b}' % text


VALID = payload(b"1")

BODIES = [
    Case("not JSON", 400, "malformed_json", b"{"),
    Case("two JSON documents", 400, "malformed_json", VALID + VALID),
    Case("a byte order mark", 400, "malformed_json", b"\xef\xbb\xbf" + VALID),
    Case("not UTF-8", 400, "malformed_json", payload(b'"\xff"')),
    Case("`NaN`, `Infinity`", 400, "malformed_json", payload(b"[NaN]")),
    Case(
        "a raw control character in a string", 400, "malformed_json", payload(b'"\0"')
    ),
    Case("no body", 422, "invalid_values", b""),
    Case("not an object", 422, "invalid_values", b"[]"),
    Case("`null`", 422, "invalid_values", b"null"),
    Case("no `payload`", 422, "invalid_values", b"{}"),
    Case("an unknown field", 422, "invalid_values", b'{"payload": 1, "other": 2}'),
    Case(
        "a `description` that is not a string",
        422,
        "invalid_values",
        b'{"payload": 1, "description": 2}',
    ),
    Case(
        "a `description` of more than 255 characters",
        422,
        "invalid_values",
        b'{"payload": 1, "description": "%b"}' % (b"x" * 256),
    ),
    Case(
        "an unknown `priority`",
        422,
        "invalid_values",
        b'{"payload": 1, "priority": "urgent"}',
        path=f"{PROCESS}-async",
    ),
    Case("a number beyond 64-bit floating point", 422, "not_finite", payload(b"1e400")),
    Case("an integer of 1,001 digits", 422, "too_many_digits", payload(b"9" * 1001)),
    Case("values nested 101 deep", 422, "too_deep", payload(b"[" * 100 + b"]" * 100)),
    Case(
        "more than 50,000 values",
        422,
        "too_many_values",
        payload(b"[" + b"0," * 50_000 + b"0]"),
    ),
    Case("a lone surrogate", 422, "unstorable_text", payload(rb'"\ud800"')),
    Case("U+0000 in a string", 422, "unstorable_text", payload(rb'"\u0000"')),
    Case("more than 1 MiB", 413, "content_too_large", b" " * (1024 * 1024 + 1)),
    Case(
        "a media type other than JSON",
        415,
        "unsupported_media_type",
        VALID,
        {"Content-Type": "text/plain"},
    ),
    Case(
        "a compressed body",
        415,
        "unsupported_encoding",
        VALID,
        {"Content-Encoding": "gzip"},
    ),
    Case(
        "JSON in another charset than UTF-8",
        415,
        "unsupported_charset",
        VALID,
        {"Content-Type": "application/json; charset=iso-8859-1"},
    ),
    Case(
        "no `Content-Type`", 415, "unsupported_media_type", VALID, {"Content-Type": ""}
    ),
]

HEADERS = [
    Case(
        "an empty `Idempotency-Key`",
        400,
        "malformed_header",
        VALID,
        {"Idempotency-Key": ""},
    ),
    Case(
        "`Idempotency-Key` with spaces, not quoted",
        400,
        "malformed_header",
        VALID,
        {"Idempotency-Key": "a b"},
    ),
    Case(
        "`Idempotency-Key` of more than 255 characters",
        400,
        "malformed_header",
        VALID,
        {"Idempotency-Key": "x" * 256},
    ),
]


def get(what: str, path: str, status: int = 422, code: str = "invalid_values") -> Case:
    return Case(what, status, code, None, {}, path, "GET")


ADDRESSES = [
    get("an unknown path", "/nowhere", 404, "not_found"),
    get("a path with a slash at the end", "/health/", 404, "not_found"),
    Case(
        "a method that the path does not support",
        405,
        "method_not_allowed",
        VALID,
        method="PUT",
    ),
    get("an id with a line feed", f"{PROCESS}-async/a%0Ab"),
    get("an id with U+0000", f"{PROCESS}-async/%00"),
    get("an id of more than 128 characters", f"{DATABASE}/records/{'x' * 129}"),
    get("an id beyond ASCII", f"{DATABASE}/records/%F0%9F%98%80"),
    get("`limit=0`", f"{DATABASE}/records?limit=0"),
    get("`limit=101`", f"{DATABASE}/records?limit=101"),
    get("`limit=ten`", f"{DATABASE}/records?limit=ten"),
    get("`offset=-1`", f"{DATABASE}/records?offset=-1"),
    get("an `offset` above 10,000", f"{DATABASE}/records?offset=10001"),
    get("an `offset` of 5,000 digits", f"{DATABASE}/records?offset={'9' * 5000}"),
    get("`before` above 2⁶³ - 1", f"{DATABASE}/records?before={2**63}"),
    get("an unknown `task_status`", f"{DATABASE}/records?task_status=Lost"),
    get("U+0000 in a filter", f"{DATABASE}/logs?task_id=%00"),
    get("a URL that is not UTF-8", f"{DATABASE}/logs?task_id=%FF"),
    get("a URL of more than 8 KiB", f"/?{'x' * 8192}", 414, "uri_too_long"),
    get("a space in a filter", f"{DATABASE}/logs?status=a%20b"),
    get("`wait=31`", f"{PROCESS}-async/1?wait=31"),
]

CASES = [*BODIES, *HEADERS, *ADDRESSES]


@pytest.fixture(scope="module")
def client() -> Iterator[TestClient]:
    """An API without servers behind it: a request that passes the checks would get a
    500."""
    app = create_echo_app()
    app.state.resources = SimpleNamespace(keys=None)
    for dependency in (get_echo_service, get_record_service):
        app.dependency_overrides[dependency] = lambda: None
    yield TestClient(app, raise_server_exceptions=False)


def send(client: TestClient, case: Case) -> Response:
    headers: Any = {
        name: value.encode("latin-1")
        for name, value in {"Content-Type": "application/json", **case.headers}.items()
        if value or name != "Content-Type"
    }
    return client.request(case.method, case.path, content=case.body, headers=headers)


@pytest.mark.promise(
    "docs/ERRORS.md", "Every error is `application/problem+json` (RFC 9457)."
)
@pytest.mark.parametrize("case", CASES, ids=[case.what for case in CASES])
def test_the_answer_to(client: TestClient, case: Case) -> None:
    answer = send(client, case)
    problem = answer.json()
    assert (answer.status_code, problem["code"]) == (case.status, case.code)
    assert answer.headers["content-type"] == "application/problem+json"
    assert problem["status"] == case.status
    assert problem["type"] and problem["title"] and problem["detail"]
    assert problem["request_id"] == answer.headers["x-request-id"]


def test_the_document_is_up_to_date(client: TestClient) -> None:
    text = document(client)
    if os.environ.get("UPDATE_DOCS"):
        DOCUMENT.write_text(text)
    assert DOCUMENT.read_text() == text, "write it with: make docs"


def document(client: TestClient) -> str:
    parts = [
        INTRODUCTION,
        "## Bad bodies",
        answers(client, BODIES),
        "## Bad headers",
        answers(client, HEADERS),
        "## Bad URLs",
        answers(client, ADDRESSES),
        "## Well-formed requests that fail",
        table("| status | `code` | meaning |", own_errors()),
        "## Errors from the gateway",
        table("| status | `code` | `detail` |", gateway_errors()),
    ]
    return "\n\n".join(parts) + "\n"


INTRODUCTION = """\
# Errors

Tests generate this page: `backend/tests/unit/test_bad_input.py` sends each request.

Every error is `application/problem+json` (RFC 9457). `code` is for programs, `detail`
for people. `request_id` is the `X-Request-ID` in logs and traces. Errors never repeat
what the client sent. With a 429, 502, 503, or a 409 `idempotency_key_in_flight`,
`Retry-After` says in how many seconds to retry."""


def answers(client: TestClient, cases: list[Case]) -> str:
    rows = []
    for case in cases:
        detail = send(client, case).json()["detail"].replace("|", "\\|")
        detail = detail if len(detail) <= 120 else f"{detail[:117]}..."
        rows.append(f"| {case.what} | {case.status} | `{case.code}` | {detail} |")
    return table("| request | status | `code` | `detail` |", rows)


def own_errors() -> list[str]:
    """Each error class that our code raises directly."""
    rows = []
    for kind in vars(exceptions).values():
        if inspect.isclass(kind) and issubclass(kind, ApplicationError):
            status = [c for base, c in STATUS_CODES.items() if issubclass(kind, base)]
            is_base = kind.__subclasses__() and kind is not exceptions.Refused
            if status and not is_base:
                code = f"`{kind.code}`"
                meaning = " ".join((kind.__doc__ or "").split("\n\n")[0].split())
                if kind is exceptions.ServiceError:
                    code, meaning = "the service's", f"{kind.title}."
                rows.append(f"| {status[0]} | {code} | {meaning} |")
    return sorted(rows)


def gateway_errors() -> list[str]:
    text = (ROOT / "nginx_config.conf").read_text()
    found = re.findall(r"^ +return (\d+) '(\{.*\})';$", text, re.MULTILINE)
    problems = [(status, json.loads(body)) for status, body in found]
    assert problems and all(int(status) == p["status"] for status, p in problems)
    return [f"| {s} | `{p['code']}` | {p['detail']} |" for s, p in problems]


def table(head: str, rows: list[str]) -> str:
    columns = head.count("|") - 1
    return "\n".join([head, "| --- " * columns + "|", *rows])
