"""Browsers that show pages of other origins."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from fastapi.testclient import TestClient
from httpx2 import Response

from app.core.browser_settings import CorsSettings
from app.core.config import Settings
from tests.echo import PROCESS, EchoSettings, create_echo_app, get_echo_service

ORIGIN = "https://app.example"


def new_client(**cors: Any) -> TestClient:
    settings = EchoSettings(cors=CorsSettings(**{"origins": [ORIGIN], **cors}))
    app = create_echo_app(settings)
    app.dependency_overrides[get_echo_service] = lambda: None

    @app.get("/bug")
    async def bug() -> None:
        raise RuntimeError("secret")

    return TestClient(app, raise_server_exceptions=False)


@pytest.fixture(scope="module")
def client() -> Iterator[TestClient]:
    yield new_client()


def preflight(client: TestClient, origin: str = ORIGIN, **asked: str) -> Response:
    headers = {"Origin": origin, "Access-Control-Request-Method": "POST"}
    for name, value in asked.items():
        headers[f"Access-Control-Request-{name}"] = value
    return client.options(PROCESS, headers=headers)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/health/live", 200),
        ("GET", "/nowhere", 404),
        ("PUT", PROCESS, 405),
        ("POST", PROCESS, 415),
        ("GET", "/?" + "x" * 9000, 414),
        ("GET", "/bug", 500),
    ],
)
def test_every_answer_may_be_read(
    client: TestClient, method: str, path: str, status: int
) -> None:
    headers = {"Origin": ORIGIN, "Content-Type": "text/plain"}
    answer = client.request(method, path, headers=headers, content=b"x")
    assert answer.status_code == status
    assert answer.headers["Access-Control-Allow-Origin"] == ORIGIN
    assert "X-Request-ID" in answer.headers["Access-Control-Expose-Headers"]
    assert answer.headers.get_list("Vary") == ["Origin"]
    assert "X-Content-Type-Options" in answer.headers


@pytest.mark.parametrize("origin", ["https://evil.example", "null", ORIGIN + ".evil"])
def test_other_origins_get_no_permission(client: TestClient, origin: str) -> None:
    answer = client.get("/bug", headers={"Origin": origin})
    assert "Access-Control-Allow-Origin" not in answer.headers
    refused = preflight(client, origin)
    assert refused.status_code == 400
    assert refused.headers["Content-Type"] == "application/problem+json"
    assert refused.json()["request_id"] == refused.headers["X-Request-ID"]
    assert "Access-Control-Allow-Origin" not in refused.headers


def test_caches_keep_origins_apart(client: TestClient) -> None:
    """Also what a client without an origin was answered."""
    assert client.get("/health/live").headers["Vary"] == "Origin"
    assert new_client(origins=["*"]).get("/health/live").headers["Vary"] == "Origin"


@pytest.mark.parametrize(
    ("configured", "sent"),
    [
        ("https://App.Example", "https://app.example"),
        ("https://app.example:443", "https://app.example"),
        ("https://app.example", "HTTPS://APP.example:443"),
        ("http://localhost:3000", "http://localhost:3000"),
        ("http://[::1]:80", "http://[::1]"),
        ("capacitor://localhost", "capacitor://localhost"),
    ],
)
def test_origins_are_compared_as_browsers_do(configured: str, sent: str) -> None:
    answer = preflight(new_client(origins=[configured]), sent)
    assert answer.status_code == 200
    assert answer.headers["Access-Control-Allow-Origin"] == sent


@pytest.mark.parametrize(
    "name",
    ["Content-Type", "idempotency-key", "X-Request-ID", "traceparent", "tracestate"]
    + ["Authorization", "Last-Event-ID", "baggage"],
)
def test_the_headers_of_the_kit_may_be_sent(client: TestClient, name: str) -> None:
    assert preflight(client, Headers=name).status_code == 200


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE"])
def test_the_usual_methods_may_be_used(client: TestClient, method: str) -> None:
    assert preflight(client, Method=method).status_code == 200


def test_what_a_team_configures(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "ORIGINS": json.dumps([ORIGIN]),
        "METHODS": '["get", "report"]',
        "HEADERS": '["X-Tenant"]',
        "EXPOSED_HEADERS": '["ETag"]',
        "CREDENTIALS": "true",
        "MAX_AGE_SECONDS": "7",
    }.items():
        monkeypatch.setenv(f"CORS_{name}", value)
    client = TestClient(create_echo_app())
    answer = preflight(client, Method="REPORT", Headers="x-tenant")
    assert answer.status_code == 200
    assert answer.headers["Access-Control-Max-Age"] == "7"
    assert answer.headers["Access-Control-Allow-Credentials"] == "true"
    assert preflight(client, Method="PUT").status_code == 400
    assert preflight(client, Headers="x-other").status_code == 400
    answer = client.get("/health/live", headers={"Origin": ORIGIN})
    assert answer.headers["Access-Control-Expose-Headers"] == "ETag"
    assert answer.headers["Access-Control-Allow-Credentials"] == "true"


@pytest.mark.promise("ARCHITECTURE.md", "`CORS_ORIGINS` is empty by default")
def test_nothing_is_allowed_by_default() -> None:
    assert Settings().cors.origins == []
    answer = TestClient(create_echo_app()).get(
        "/health/live", headers={"Origin": ORIGIN}
    )
    assert not [n for n in answer.headers if n.startswith("access-control")]
