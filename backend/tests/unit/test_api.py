"""The HTTP edge alone: services are replaced, no server is contacted."""

import asyncio
import inspect
import re
import signal
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from fastapi import FastAPI, HTTPException
from fastapi.testclient import TestClient
from httpx2 import Response

from app import application
from app.api.dependencies import get_record_service
from app.core import exceptions
from app.core.exceptions import ApplicationError
from app.core.health import HealthChecks, PartState
from app.models.schemas import AsyncDataRequest, DataRequest, TaskResult, TaskStatus
from tests.echo import PROCESS, EchoSettings, create_echo_app, get_echo_service


class EchoService:
    """Answers with the payload, or fails on request."""

    error: Exception | None = None

    async def process(self, request: DataRequest) -> tuple[str, Any]:
        if self.error is not None:
            raise self.error
        return "task-1", request.payload

    async def accept(self, request: AsyncDataRequest) -> TaskResult:
        return TaskResult(task_id="task-2", task_status=TaskStatus.PROCESSING)


@pytest.fixture
def app() -> FastAPI:
    app = create_echo_app()

    async def down() -> None:
        raise exceptions.DatabaseUnavailable("gone")

    async def services() -> dict[str, PartState]:
        return {"echo-service": PartState(True, "not known")}

    app.state.resources = SimpleNamespace(
        settings=EchoSettings(),
        health=HealthChecks({"postgresql": down}, frozenset({"postgresql"}), services),
    )
    return app


@pytest.fixture
def service(app: FastAPI) -> EchoService:
    service = EchoService()
    app.dependency_overrides[get_echo_service] = lambda: service
    app.dependency_overrides[get_record_service] = lambda: None
    return service


@pytest.fixture
def client(app: FastAPI, service: EchoService) -> Iterator[TestClient]:
    yield TestClient(app, raise_server_exceptions=False)


def assert_problem(answer: Response, status: int, code: str) -> None:
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    content = answer.json()
    assert content["status"] == status
    assert content["code"] == code
    assert content["type"] and content["title"] and content["detail"]
    assert content["request_id"] == answer.headers["x-request-id"]


def test_process_answers_by_the_contract(client: TestClient) -> None:
    answer = client.post(PROCESS, json={"payload": "hello", "description": "uppercase"})
    assert answer.status_code == 200
    assert answer.json() == {
        "task_id": "-",
        "task_status": "Success",
        "outcome": "hello",
    }
    assert answer.headers["location"] == "/api/v1/database/records/task-1"


def test_process_async_answers_by_the_contract(client: TestClient) -> None:
    answer = client.post(PROCESS + "-async", json={"payload": None})
    assert answer.status_code == 202
    assert answer.json() == {
        "task_id": "task-2",
        "task_status": "Processing",
        "outcome": None,
    }
    assert answer.headers["location"] == PROCESS + "-async/task-2"


@pytest.mark.parametrize(
    "payload",
    [10**300, -(10**25), 2**63, 0.1, 1e22, -0.0, 5e-324, "日本語 😀", {"": []}, None],
)
def test_values_pass_unchanged(client: TestClient, payload: Any) -> None:
    answer = client.post(PROCESS, json={"payload": payload})
    assert repr(answer.json()["outcome"]) == repr(payload)


def test_unknown_paths_and_methods(client: TestClient) -> None:
    assert_problem(client.get("/nowhere"), 404, "not_found")
    answer = client.put(PROCESS)
    assert_problem(answer, 405, "method_not_allowed")
    assert answer.headers["allow"] == "POST"
    answer = client.put("/api/v1/database/records/1")
    assert answer.headers["allow"] == "GET, HEAD, DELETE"


@pytest.mark.promise("ARCHITECTURE.md", "`HEAD` works wherever `GET` does.")
@pytest.mark.parametrize("path", ["/health/live", "/", "/api/v1/docs", "/health"])
def test_head_answers_like_get_without_body(client: TestClient, path: str) -> None:
    whole, head = client.get(path), client.head(path)
    assert whole.content and not head.content
    assert head.status_code == whole.status_code
    for name in ("content-type", "content-length"):
        assert head.headers[name] == whole.headers[name]


def test_head_is_refused_where_get_is_refused(client: TestClient) -> None:
    answer = client.head(PROCESS)
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")
    assert client.head("/nowhere").status_code == 404


ERRORS = [
    kind
    for _, kind in inspect.getmembers(exceptions, inspect.isclass)
    if issubclass(kind, ApplicationError) and kind is not ApplicationError
]


@pytest.mark.promise(
    "docs/ERRORS.md", "Every error is `application/problem+json` (RFC 9457)."
)
@pytest.mark.parametrize("kind", ERRORS)
def test_every_error_of_the_tree_has_an_answer(
    client: TestClient, service: EchoService, kind: type[ApplicationError]
) -> None:
    arguments = ("odd", "why") if kind is exceptions.ServiceError else ("why",)
    service.error = kind(*arguments)
    answer = client.post(PROCESS, json={"payload": 1})
    assert_problem(answer, answer.status_code, service.error.code)
    assert answer.status_code in {400, 401, 403, 404, 409, 422, 429, 503, 504}
    assert answer.json()["detail"] == "why"
    again = answer.status_code in (429, 503) or kind is exceptions.KeyInFlight
    assert ("retry-after" in answer.headers) == again
    # No token opens a WebSocket for a page of another site.
    by_token = kind is not exceptions.CrossSite
    challenged = by_token and answer.status_code in (401, 403)
    assert ("www-authenticate" in answer.headers) == challenged


def test_a_bug_is_a_500_without_its_text(
    client: TestClient, service: EchoService
) -> None:
    service.error = RuntimeError("secret")
    answer = client.post(PROCESS, json={"payload": 1})
    assert_problem(answer, 500, "internal_error")
    assert "secret" not in answer.text


@pytest.mark.parametrize(
    ("status", "code"), [(410, "gone"), (418, "i_m_a_teapot"), (499, "error")]
)
def test_an_endpoint_may_raise_any_http_error(
    app: FastAPI, client: TestClient, status: int, code: str
) -> None:
    @app.get("/raises")
    async def raises() -> None:
        raise HTTPException(status, "so it is")

    assert_problem(client.get("/raises"), status, code)


def test_a_request_id_is_kept(client: TestClient) -> None:
    answer = client.get("/health/live", headers={"X-Request-ID": "my-id/1"})
    assert answer.headers["x-request-id"] == "my-id/1"


@pytest.mark.promise(
    "ARCHITECTURE.md",
    "generates one if it is missing or unsafe, and returns it with every response",
)
def test_a_request_id_is_generated(client: TestClient) -> None:
    first, second = client.get("/health/live"), client.get("/health/live")
    assert first.headers["x-request-id"] != second.headers["x-request-id"]


@pytest.mark.parametrize(("scheme", "is_told"), [("http", False), ("https", True)])
def test_browsers_are_told_to_stay_with_tls_where_there_is_tls(
    app: FastAPI, scheme: str, is_told: bool
) -> None:
    for path in ("/health/live", "/nowhere"):
        answer = TestClient(app, f"{scheme}://testserver").get(path)
        assert ("strict-transport-security" in answer.headers) is is_told
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["x-frame-options"] == "DENY"
        assert answer.headers["referrer-policy"] == "no-referrer"


def test_live_but_not_ready(client: TestClient) -> None:
    assert client.get("/health/live").status_code == 200
    assert client.get("/health").status_code == 503
    assert client.get("/health/ready").status_code == 503
    down = {"status": "down", "detail": "gone"}
    unknown = {"status": "up", "detail": "not known"}
    dependencies = client.get("/health").json()["dependencies"]
    assert dependencies == {"postgresql": down, "echo-service": unknown}
    # The readiness probe ignores services.
    dependencies = client.get("/health/ready").json()["dependencies"]
    assert dependencies == {"postgresql": down}


@pytest.mark.promise(
    "ARCHITECTURE.md",
    "like `/health`, without the services; 503 while the process is stopping",
)
def test_not_ready_while_stopping(app: FastAPI, client: TestClient) -> None:
    """From the first signal on; what the server does at a signal stays."""
    stopped: list[str] = []

    async def up() -> None: ...

    async def none() -> dict[str, PartState]:
        return {}

    resources = app.state.resources
    resources.health = HealthChecks({"a": up}, frozenset({"a"}), none)
    feed = SimpleNamespace(stop=lambda: stopped.append("streams"))
    resources.events = SimpleNamespace(feed=feed)
    assert client.get("/health/ready").status_code == 200

    async def get_signal(number: signal.Signals) -> None:
        application.drain_on_signals(resources)
        signal.raise_signal(number)
        await asyncio.sleep(0)

    for number in (signal.SIGTERM, signal.SIGINT):
        before = signal.signal(number, lambda *_: stopped.append("server"))
        resources.health.is_draining = False
        try:
            asyncio.run(get_signal(number))
        finally:
            signal.signal(number, before)
        ready = client.get("/health/ready")
        assert (ready.status_code, ready.json()["status"]) == (503, "draining")
        assert client.get("/health/live").status_code == 200
        assert client.get("/health").status_code == 200
    assert sorted(stopped) == ["server", "server", "streams", "streams"]


def test_the_docs_need_no_internet(client: TestClient) -> None:
    for page in ("/api/v1/docs", "/api/v1/redoc"):
        html = client.get(page)
        assert html.status_code == 200
        assert "//" not in html.text.replace("://testserver", "").split("<script>")[0]
    script = client.get("/api/v1/docs-assets/swagger-ui-bundle.js")
    assert script.status_code == 200


def test_every_address_in_the_docs_page_is_served(client: TestClient) -> None:
    """This includes the address to which a login returns; it needs no login."""
    html = client.get("/api/v1/docs").text
    addresses = re.findall(r"[\"'](/[^\"'\s]+)[\"']", html)
    assert "/api/v1/docs/oauth2-redirect" in addresses
    for address in addresses:
        assert address.startswith("/api/v1/")
        assert client.get(address).status_code == 200, address


def test_the_docs_can_be_turned_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCS_ENABLED", "false")
    client = TestClient(create_echo_app())
    for path in (
        "docs",
        "redoc",
        "openapi.json",
        "asyncapi.json",
        "docs-assets/swagger-ui.css",
        "docs/oauth2-redirect",
    ):
        assert client.get(f"/api/v1/{path}").status_code == 404
