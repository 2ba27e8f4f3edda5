"""Bad input gets the contract's 4xx, and harms no process."""

import json
from collections.abc import Iterator

import psutil
import pytest

from local.stack import Stack
from tests.e2e.client import (
    LOGS,
    PROCESS,
    PROCESS_ASYNC,
    RECORDS,
    Api,
    assert_problem,
)

MALFORMED = [
    b"{",
    b"\0",
    b'{"payload": 1,}',
    b"{'payload': 1}",
    b'{"payload": 01}',
    b'{"payload": NaN}',
    b'{"payload": [-Infinity]}',
    b'{"payload": "\xff"}',
    b'{"payload": "a\nb"}',
    b'{"payload": "\0"}',
    b'{"payload": "\xed\xa0\x80"}',
    b'\xef\xbb\xbf{"payload": 1}',
    b'{"payload": 1} {"payload": 2}',
]

INVALID = [
    b"",
    b"null",
    b"[]",
    b'"payload"',
    b"{}",
    b'{"description": "reverse"}',
    b'{"payload": 1, "description": 2}',
    b'{"payload": 1, "description": ["reverse"]}',
    b'{"payload": 1, "other": 2}',
    b'{"payload": 1, "description": "%s"}' % (b"x" * 256),
]

OUT_OF_BOUNDS = [
    (b"1e400", "not_finite"),
    (b"[-1e400]", "not_finite"),
    (rb'"\ud800"', "unstorable_text"),
    (rb'{"\udfff": 1}', "unstorable_text"),
    (rb'["\ude00\ud83d"]', "unstorable_text"),
    (rb'"\u0000"', "unstorable_text"),
    (rb'{"a\u0000": 1}', "unstorable_text"),
    (b"9" * 5000, "too_many_digits"),
    (b"-" + b"9" * 5000, "too_many_digits"),
    (b"9" * 100_000, "too_many_digits"),
    (b"[" * 2000 + b"]" * 2000, "too_deep"),
    (b'{"a":' * 2000 + b"1" + b"}" * 2000, "too_deep"),
    (b"[" * 200_000 + b"]" * 200_000, "too_many_values"),
]

UNKNOWN_IDS = ["unknown", "00000000-0000-0000-0000-000000000000", "-", "a" * 128]

# Encoded by hand, so that the client sends them as they are.
BAD_IDS = [
    "a%0ab",
    "%0a",
    "abc%0a",
    "%01",
    "%7f",
    "%ff",
    "%ed%a0%80",
    "a%20b",
    "%C3%A9",
]

BAD_PAGES = [
    "limit=0",
    "limit=-1",
    "limit=101",
    "limit=ten",
    "limit=",
    "limit=1.5",
    "offset=-1",
    f"offset={10**30}",
    f"offset={'9' * 5000}",
    "offset=1e3",
    "before=0",
    f"before={2**63}",
    "limit=5&limit=0",
]


@pytest.fixture(scope="module", autouse=True)
def same_processes(api: Api, launched: Stack | None) -> Iterator[None]:
    """Afterwards every process must still be the same one, and serve."""

    def identities() -> list[tuple[int, float]]:
        if launched is None:
            return []
        servers = [*launched.services, launched.worker, *launched.apis]
        family = [psutil.Process(server.pid) for server in servers]
        family += [child for p in family for child in p.children(recursive=True)]
        return sorted((p.pid, p.create_time()) for p in family)

    before = identities()
    yield
    assert identities() == before
    assert api.process("still here", "uppercase")["outcome"]["output"] == "STILL HERE"
    assert api.process_async(4, "square")["outcome"]["output"] == 16


def titled(value: bytes | str) -> str:
    """A short name for a case."""
    return value if isinstance(value, str) else repr(value[:30])


@pytest.mark.parametrize("path", [PROCESS, PROCESS_ASYNC])
@pytest.mark.parametrize("body", MALFORMED, ids=titled)
def test_what_is_not_json(api: Api, path: str, body: bytes) -> None:
    assert_problem(api.send(path, body), 400, "malformed_json")


@pytest.mark.promise("ARCHITECTURE.md", "Next, the schema rejects unknown fields.")
@pytest.mark.parametrize("path", [PROCESS, PROCESS_ASYNC])
@pytest.mark.parametrize("body", INVALID, ids=titled)
def test_json_that_is_not_a_request(api: Api, path: str, body: bytes) -> None:
    assert_problem(api.send(path, body), 422, "invalid_values")


@pytest.mark.parametrize("path", [PROCESS, PROCESS_ASYNC])
@pytest.mark.parametrize(("payload", "code"), OUT_OF_BOUNDS, ids=titled)
def test_values_out_of_bounds(api: Api, path: str, payload: bytes, code: str) -> None:
    assert_problem(api.send(path, b'{"payload": %s}' % payload), 422, code)


@pytest.mark.parametrize("description", [rb"\u0000", rb"\ud800"])
def test_descriptions_out_of_bounds(api: Api, description: bytes) -> None:
    body = b'{"payload": 1, "description": "%s"}' % description
    assert_problem(api.send(PROCESS, body), 422, "unstorable_text")


@pytest.mark.parametrize("path", [PROCESS, PROCESS_ASYNC])
def test_only_one_byte_beyond_the_largest_body_is_refused(api: Api, path: str) -> None:
    frame = len(b'{"payload": ""}')
    largest = b'{"payload": "%s"}' % (b"x" * (1024 * 1024 - frame))

    assert api.send(path, largest).status_code in (200, 202)
    too_large = api.send(path, largest + b" ")
    assert_problem(too_large, 413, "content_too_large")


def test_a_body_without_a_length_is_limited_too(api: Api) -> None:
    def chunks() -> Iterator[bytes]:
        yield b'{"payload": "'
        for _ in range(1100):
            yield b"x" * 1024
        yield b'"}'

    answer = api.http.post(
        PROCESS, content=chunks(), headers={"Content-Type": "application/json"}
    )

    assert_problem(answer, 413, "content_too_large")


@pytest.mark.parametrize("kind", ["text/plain", "", "application/xml", "multipart/x"])
def test_other_types_of_content(api: Api, kind: str) -> None:
    answer = api.send(PROCESS, b'{"payload": 1}', **{"Content-Type": kind})
    assert_problem(answer, 415, "unsupported_media_type")


@pytest.mark.parametrize("given", ["two words", "x" * 129, "é", 'a"b', "a;b"])
def test_unsafe_request_ids_are_replaced(api: Api, given: str) -> None:
    answer = api.http.get("/nope", headers=[(b"X-Request-ID", given.encode())])

    assert_problem(answer, 404)
    assert len(answer.headers["X-Request-ID"]) == 32


@pytest.mark.parametrize("task_id", UNKNOWN_IDS)
def test_unknown_ids(api: Api, task_id: str) -> None:
    for path in (PROCESS_ASYNC, RECORDS):
        assert_problem(api.http.get(f"{path}/{task_id}"), 404, "not_found")
    assert_problem(api.http.delete(f"{RECORDS}/{task_id}"), 404, "not_found")
    assert api.get_json(LOGS, task_id=task_id) == []


@pytest.mark.parametrize("task_id", [*BAD_IDS, "a" * 129, "a" * 3000])
def test_invalid_ids(api: Api, task_id: str) -> None:
    for path in (PROCESS_ASYNC, RECORDS):
        assert_problem(api.http.get(f"{path}/{task_id}"), 422, "invalid_values")
    assert_problem(api.http.delete(f"{RECORDS}/{task_id}"), 422, "invalid_values")
    answer = api.http.get(f"{LOGS}?task_id={task_id}")
    assert_problem(answer, 422, "invalid_values")


def test_nul_in_a_path(api: Api) -> None:
    """nginx itself refuses it."""
    assert_problem(api.http.get(f"{RECORDS}/a%00b"), 400)


@pytest.mark.parametrize("path", [RECORDS, LOGS])
@pytest.mark.parametrize("query", BAD_PAGES, ids=lambda query: query[:20])
def test_pages_that_do_not_exist(api: Api, path: str, query: str) -> None:
    assert_problem(api.http.get(f"{path}?{query}"), 422, "invalid_values")


@pytest.mark.parametrize(
    "query",
    ["records?task_status=Done", "records?task_type=%00", "logs?status=a%0ab"]
    + ["logs?correlation_id=%20", "logs?queue_name=a;b", "logs?service_name="],
)
def test_invalid_filters(api: Api, query: str) -> None:
    answer = api.http.get(f"/api/v1/database/{query}")
    assert_problem(answer, 422, "invalid_values")


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nope", 404),
        ("GET", "/api/v1/nope", 404),
        ("GET", "/api/v1/docs-assets/nope.js", 404),
        ("GET", "/api/v1/docs-assets/..%2f..%2fmain.py", 404),
        ("GET", PROCESS, 405),
        ("PUT", PROCESS, 405),
        ("POST", RECORDS, 405),
        ("DELETE", RECORDS, 405),
        ("POST", "/health", 405),
    ],
)
def test_unknown_paths_and_methods(
    api: Api, method: str, path: str, status: int
) -> None:
    assert_problem(api.http.request(method, path), status)


@pytest.mark.parametrize("wait", ["-1", "31", "nan", "inf", "-inf", "1e400", "ten", ""])
def test_invalid_waits(api: Api, wait: str) -> None:
    answer = api.http.get(f"{PROCESS_ASYNC}/unknown?wait={wait}")
    assert_problem(answer, 422, "invalid_values")


def test_an_unknown_priority(api: Api) -> None:
    answer = api.send(PROCESS_ASYNC, b'{"payload": 1, "priority": "urgent"}')
    assert_problem(answer, 422, "invalid_values")


@pytest.mark.promise("docs/ERRORS.md", "Errors never repeat what the client sent.")
@pytest.mark.promise(
    "ARCHITECTURE.md", "Neither errors nor Celery's logs repeat what a client sent."
)
def test_errors_do_not_repeat_the_input(api: Api) -> None:
    answer = api.send(PROCESS, json.dumps({"payload": 1, "x": "secret-42"}).encode())
    assert "secret-42" not in answer.text
