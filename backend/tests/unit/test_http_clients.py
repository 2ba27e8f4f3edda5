"""What clients of many kinds send, to the API without its servers."""

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import httpx2
import pytest
from fastapi.testclient import TestClient

from app.api.dependencies import get_record_service
from app.api.middleware.request_id import RequestIdMiddleware
from chassis.context import REQUEST_ID_PATTERN
from tests.echo import PROCESS, create_echo_app, get_echo_service

RECORDS = "/api/v1/database/records"
LOGS = "/api/v1/database/logs"
BODY = b'{"payload": 1}'
ID = "0e3a8b7c-1c7d-4b8f-9f0e-1234567890ab"


class EchoService:
    """Answers with the payload, and with the ids that it is asked for."""

    asked: list[Any] = []

    async def process(self, request: Any) -> tuple[str, Any]:
        return ID, request.payload

    async def get_state(self, task_id: str, _: Any, wait: float) -> dict[str, Any]:
        self.asked.append(task_id)
        return {"task_id": task_id, "task_status": "Processing"}

    async def delete_record(self, task_id: str) -> None:
        self.asked.append(task_id)

    async def get_task_logs(self, page: Any, *, task_id: str, **_: Any) -> Any:
        self.asked.append(task_id)
        return SimpleList()


class SimpleList(list[Any]):
    """No rows."""

    has_more = False


@pytest.fixture(scope="module")
def client() -> Iterator[TestClient]:
    app = create_echo_app()
    app.state.resources = SimpleNamespace(keys=None)
    for dependency in (get_echo_service, get_record_service):
        app.dependency_overrides[dependency] = EchoService
    yield TestClient(app, raise_server_exceptions=False)


def post(
    client: TestClient,
    body: bytes = BODY,
    kind: str = "application/json",
    coding: str | None = None,
) -> httpx2.Response:
    headers = {"Content-Type": kind}
    if coding is not None:
        headers["Content-Encoding"] = coding
    return client.post(PROCESS, content=body, headers=headers)


@pytest.mark.parametrize(
    "coding", ["gzip", "br", "deflate", "zstd", "Gzip", "x-unknown", "gzip, identity"]
)
def test_a_compressed_body_is_refused(client: TestClient, coding: str) -> None:
    answer = post(client, coding=coding)
    assert answer.status_code == 415
    assert answer.json()["code"] == "unsupported_encoding"
    assert answer.headers["Accept-Encoding"] == "identity"


def test_a_coding_may_stand_in_any_of_several_headers(client: TestClient) -> None:
    headers = [("Content-Type", "application/json")]
    headers += [("Content-Encoding", coding) for coding in ("gzip", "identity")]
    assert client.post(PROCESS, content=BODY, headers=headers).status_code == 415


def test_a_body_without_room_is_told_when_to_return(client: TestClient) -> None:
    app: Any = client.app
    app.state.budget.hold(app.state.settings.max_body_bytes_in_flight)
    answer = post(client, b'{"payload": "%s"}' % (b"x" * 20_000))
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "1")


@pytest.mark.parametrize("coding", ["identity", "Identity", ""])
def test_a_body_as_it_is_passes(client: TestClient, coding: str) -> None:
    assert post(client, coding=coding).status_code == 200


@pytest.mark.parametrize(
    "kind",
    ["application/json", "Application/JSON; Charset=UTF-8", "application/json;"]
    + ['application/json; charset="utf-8"', "application/json; charset=us-ascii"]
    + ["application/vnd.api+json", "APPLICATION/JSON;odata=verbose;charset=utf8"],
)
def test_media_types_of_json(client: TestClient, kind: str) -> None:
    assert post(client, kind=kind).status_code == 200


@pytest.mark.parametrize("charset", ["iso-8859-1", "UTF-16", '"utf-32"', "x"])
def test_json_in_another_charset_is_refused(client: TestClient, charset: str) -> None:
    answer = post(client, kind=f"application/json; Charset={charset}")
    assert (answer.status_code, answer.json()["code"]) == (415, "unsupported_charset")


@pytest.mark.parametrize(
    "path", [f"{PROCESS}/", f"{RECORDS}/", "/health/", "/health//"]
)
def test_a_slash_at_the_end_is_a_clear_404(client: TestClient, path: str) -> None:
    for method in ("GET", "POST"):
        answer = client.request(method, path, follow_redirects=False)
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
        assert "slash" in answer.json()["detail"]


@pytest.mark.parametrize(
    "written",
    [ID, ID.upper(), f"{{{ID}}}", f"{{{ID.upper()}}}", f"urn:uuid:{ID}"]
    + [f"urn:uuid:{ID.upper()}", ID.replace("-", ""), ID.replace("-", "").upper()],
)
def test_a_uuid_may_be_written_in_every_usual_way(
    client: TestClient, written: str
) -> None:
    EchoService.asked.clear()
    assert client.get(f"{PROCESS}-async/{written}").status_code == 200
    assert client.delete(f"{RECORDS}/{written}").status_code == 204
    assert client.get(LOGS, params={"task_id": written}).status_code == 200
    assert EchoService.asked == [ID] * 3


REQUEST_IDS = [
    str(UUID(ID)),
    UUID(ID).hex,
    "01ARZ3NDEKTSV4RRFFQ69G5FAV",  # ULID
    "0ujsswThIGTUYm2K8FjOOfXtY1K",  # KSUID
    "-V1StGXR8_Z5jdHi6B-myT",  # nanoid
    "_0",
    "Root=1-67891233-abcdef012345678912345678",  # AWS
    "1-67891233-abcdef012345678912345678",
    "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",  # W3C
    "+/9sJp0Vd3mZ8Yw1bQ==",  # base64
    "/x",
    "a~b",
    "x" * 128,
]


@pytest.mark.parametrize("given", REQUEST_IDS)
def test_request_ids_of_common_generators_are_kept(
    client: TestClient, given: str
) -> None:
    answer = client.get("/health/live", headers={"X-Request-ID": given})
    assert answer.headers["X-Request-ID"] == given
    logs = client.get(LOGS, params={"correlation_id": given})
    assert logs.status_code == 200


@pytest.mark.promise(
    "ARCHITECTURE.md",
    "generates one if it is missing or unsafe, and returns it with every response",
)
@pytest.mark.parametrize(
    "given",
    ["two words", "x" * 129, "é", 'a"b', "a;b", "<script>", "a,b", "a\tb", "", "${x}"],
)
def test_unsafe_request_ids_are_replaced(client: TestClient, given: str) -> None:
    headers = {b"X-Request-ID": given.encode()}
    answer = client.get("/nowhere", headers=headers)
    assert answer.status_code == 404
    assert len(answer.headers["X-Request-ID"]) == 32
    assert answer.json()["request_id"] == answer.headers["X-Request-ID"]


def test_nginx_keeps_the_same_request_ids() -> None:
    gateway = Path(__file__).parents[3] / "nginx_config.conf"
    assert f'"~^{REQUEST_ID_PATTERN.pattern}$" $http_x_request_id' in (
        gateway.read_text()
    )


@pytest.mark.parametrize(
    "start",
    ["http.response.start", "websocket.http.response.start", "websocket.accept"],
)
async def test_a_websocket_has_a_request_id_too(start: str) -> None:
    """Whether it opens, or is refused."""
    sent: list[Any] = []

    async def app(_: Any, __: Any, send: Any) -> None:
        await send({"type": start, "headers": []})

    async def send(message: Any) -> None:
        sent.append(message)

    receive: Any = None
    scope = {"type": "websocket", "headers": [(b"x-request-id", b"mine")]}
    await RequestIdMiddleware(app)(scope, receive, send)
    assert sent == [{"type": start, "headers": [(b"x-request-id", b"mine")]}]


def test_of_two_request_ids_none_is_taken(client: TestClient) -> None:
    headers = [("X-Request-ID", "a"), ("X-Request-ID", "b")]
    answer = client.get("/health/live", headers=headers)
    assert len(answer.headers.get_list("X-Request-ID")) == 1
    assert len(answer.headers["X-Request-ID"]) == 32


@pytest.mark.parametrize(
    ("path", "allow"),
    [
        (PROCESS, "POST"),
        ("/health", "GET, HEAD"),
        (f"{RECORDS}/1", "GET, HEAD, DELETE"),
    ],
)
def test_a_refused_method_says_what_a_path_allows(
    client: TestClient, path: str, allow: str
) -> None:
    for method in ("OPTIONS", "PATCH", "REPORT"):
        answer = client.request(method, path)
        assert answer.json()["code"] == "method_not_allowed"
        assert (answer.status_code, answer.headers["Allow"]) == (405, allow)
    assert client.options("/nowhere").status_code == 404


ASSET = "/api/v1/docs-assets/swagger-ui.css"


@pytest.mark.parametrize(
    ("asked", "status"),
    [("bytes=999999999-", 416), ("x", 400), ("bytes=a-b", 400), ("lines=1-2", 400)],
)
def test_bad_ranges_are_problems(client: TestClient, asked: str, status: int) -> None:
    answer = client.get(ASSET, headers={"Range": asked})
    assert (answer.status_code, answer.json()["status"]) == (status, status)
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert ("Content-Range" in answer.headers) == (status == 416)


def test_ranges_and_conditions_of_files(client: TestClient) -> None:
    part = client.get(ASSET, headers={"Range": "bytes=0-9"})
    assert (part.status_code, len(part.content)) == (206, 10)
    known = {"If-None-Match": part.headers["ETag"]}
    assert client.get(ASSET, headers=known).status_code == 304
    refused = client.put(ASSET)
    assert (refused.status_code, refused.headers["Allow"]) == (405, "GET, HEAD")


@pytest.mark.parametrize("accept", ["text/html;q=0.1", "*/*;q=0", "image/png", ""])
def test_every_accept_gets_json(client: TestClient, accept: str) -> None:
    headers = {"Accept": accept, "Range": "bytes=0-1", "If-None-Match": "*"}
    answer = client.get("/health/live", headers=headers)
    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})


JSON_TEXTS = {
    b'{"payload": 1, "payload": 2}': 200,  # the last one counts
    b" \r\n\t" + BODY: 200,
    b"\xef\xbb\xbf" + BODY: 400,
    BODY.decode().encode("utf-16"): 400,
    BODY.decode().encode("utf-32-le"): 400,
    BODY.decode().encode("utf-16-be"): 400,
    b'{"payload": "\\ud83d\\ude00"}': 200,
    b'{"payload": "\\ud83d"}': 422,
    b'{"payload": -Infinity}': 400,
    b'{"payload": 1e400}': 422,
    b'{"payload": .5}': 400,
    b'{"payload": +1}': 400,
    b'{"payload": 0x10}': 400,
}


def test_json_texts(client: TestClient) -> None:
    for body, status in JSON_TEXTS.items():
        answer = post(client, body)
        assert answer.status_code == status, body
        if body.count(b"payload") == 2:
            assert answer.json()["outcome"] == 2


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("task_id=a%2Bb", 200),
        ("task_id=a+b", 422),  # a plus is a space
        ("task_id=", 422),
        ("unknown=1", 200),
        ("limit=1&limit=2", 200),
        ("limit=1&limit=x", 422),
        ("limit=%31", 200),
        ("&&limit=1&", 200),
    ],
)
def test_queries(client: TestClient, query: str, status: int) -> None:
    assert client.get(f"{LOGS}?{query}").status_code == status


@pytest.mark.parametrize(
    "number", ["9007199254740993", "-0.0", "1E5", "0.1", "5e-324", "1.0", "1e22"]
)
def test_numbers_are_answered_as_they_were_sent(
    client: TestClient, number: str
) -> None:
    answer = post(client, b'{"payload": %b}' % number.encode())
    outcome = answer.json()["outcome"]
    assert repr(outcome) == repr(eval(number))  # nosec
