"""The endpoints besides the data: signpost, health, metrics, documentation, gateway."""

import re
from typing import Any

import pytest

from local.registry import registered
from tests.e2e.client import PROCESS, Api, assert_problem, wait_for


def test_the_root_links_to_documentation(api: Api) -> None:
    root = api.get_json("/")

    assert root["name"] and root["version"]
    for name in ("docs", "redoc", "openapi", "health"):
        assert api.http.get(root[name]).status_code == 200


def test_health_has_a_status_for_each_part(api: Api) -> None:
    def ok() -> dict[str, Any] | None:
        health: dict[str, Any] = api.get_json("/health")
        return health if health["status"] == "ok" else None

    # RabbitMQ's figures are some seconds old, so they may still show another test's
    # loss.
    parts = wait_for(ok, "all parts to be there")["dependencies"]
    assert {name: part["status"] for name, part in parts.items()} == {
        "postgresql": "up",
        "rabbitmq": "up",
        "redis": "up",
        "redis-keys": "up",
        **{f"{name.replace('_', '-')}-service": "up" for name in registered()},
    }
    assert api.get_json("/health/live")["status"] == "ok"
    assert api.get_json("/health/ready")["status"] == "ok"


@pytest.mark.parametrize("page", ["docs", "redoc"])
def test_documentation_needs_no_internet(api: Api, page: str) -> None:
    answer = api.http.get(f"/api/v1/{page}")

    assert answer.status_code == 200
    assert answer.headers["Content-Type"].startswith("text/html")
    assets = re.findall(r'(?:src|href)="([^"]+\.(?:js|css|png))"', answer.text)
    assert assets
    for asset in assets:
        assert asset.startswith("/api/v1/docs-assets/")
        assert api.http.get(asset).status_code == 200
    assert "//" not in re.sub(r"<!--.*?-->|//#.*", "", answer.text)


def test_the_schema_names_every_operation(api: Api) -> None:
    schema = api.get_json("/api/v1/openapi.json")

    operations = {
        (method, path)
        for path, methods in schema["paths"].items()
        for method in methods
    }
    assert operations >= {
        ("get", "/"),
        ("get", "/health"),
        ("get", "/health/live"),
        ("get", "/health/ready"),
        ("get", "/api/v1/database/records"),
        ("get", "/api/v1/database/records/{task_id}"),
        ("delete", "/api/v1/database/records/{task_id}"),
        ("get", "/api/v1/database/logs"),
        ("get", "/api/v1/metrics"),
    }


def test_every_answer_names_its_request(api: Api) -> None:
    ids = {
        api.http.get(path).headers["X-Request-ID"]
        for path in ("/", "/health", "/nope", "/api/v1/docs", "/api/v1/metrics")
    }
    assert len(ids) == 5


def test_redirects_keep_the_address_that_the_client_used(api: Api) -> None:
    answer = api.http.get("/health/")

    if answer.is_redirect:
        assert answer.headers["Location"] == str(api.http.base_url).rstrip("/") + (
            "/health"
        )
    else:
        assert_problem(answer, 404)


def test_the_gateway_refuses_very_large_bodies(api: Api) -> None:
    answer = api.send(PROCESS, b'{"payload": "%s"}' % (b"x" * 3 * 1024 * 1024))

    assert answer.status_code == 413
