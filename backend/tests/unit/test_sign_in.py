"""What the schema and Swagger UI say about the identity provider."""

from types import SimpleNamespace
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from openapi_spec_validator import validate

from app.api import docs
from app.api.security import SCOPES, Caller
from app.infrastructure.identity.provider import Endpoints
from tests.echo import PROCESS, EchoSettings, create_echo_app

ISSUER = "https://id.example:8443/realms/a"
KNOWN = Endpoints(
    keys="https://keys.example/keys",
    authorization="https://login.example/auth",
    token="https://tokens.example/token",
)


def create(
    endpoints: Endpoints | None = None, issuer: str = ISSUER, **changed: Any
) -> FastAPI:
    """The API with a provider that has named these endpoints."""
    auth = {"issuer": issuer, "audience": "kit, other", "client_id": "ui", **changed}
    app = create_echo_app(EchoSettings(auth=auth))
    identity = SimpleNamespace(endpoints=endpoints)
    app.state.resources = SimpleNamespace(identity=identity)
    return app


def scheme(app: FastAPI) -> dict[str, Any]:
    found: dict[str, Any] = app.openapi()["components"]["securitySchemes"]
    assert list(found) == [Caller.scheme_name]
    scheme: dict[str, Any] = found[Caller.scheme_name]
    return scheme


def test_the_schema_names_the_provider_and_our_scopes() -> None:
    app = create(KNOWN)
    validate(app.openapi())
    assert scheme(app)["type"] == "oauth2"
    flows = scheme(app)["flows"]
    assert list(flows) == ["authorizationCode"]
    assert flows["authorizationCode"] == {
        "authorizationUrl": KNOWN.authorization,
        "tokenUrl": KNOWN.token,
        "scopes": SCOPES,
    }


@pytest.mark.parametrize(
    "endpoints", [None, Endpoints("k", None, "t"), Endpoints("k", "a", None)]
)
def test_a_provider_that_has_not_answered(endpoints: Endpoints | None) -> None:
    app = create(endpoints)
    validate(app.openapi())
    assert scheme(app)["openIdConnectUrl"].startswith(f"{ISSUER}/.well-known/")
    assert TestClient(app).get(docs.DOCS_URL).status_code == 200


def test_it_answers_later() -> None:
    app = create(None)
    assert scheme(app)["type"] == "openIdConnect"
    app.state.resources.identity.endpoints = KNOWN
    assert scheme(app)["type"] == "oauth2"


def test_a_schema_before_the_start() -> None:
    app = create()
    del app.state.resources
    assert scheme(app)["type"] == "openIdConnect"


def test_scopes_have_the_provider_s_prefix() -> None:
    app = create(KNOWN, scope_prefix="api://kit/")
    scopes = scheme(app)["flows"]["authorizationCode"]["scopes"]
    assert list(scopes) == [f"api://kit/{scope}" for scope in SCOPES]
    record = app.openapi()["paths"]["/api/v1/database/records"]["get"]
    assert record["security"] == [{Caller.scheme_name: ["api://kit/records:read"]}]
    page = TestClient(app).get(docs.DOCS_URL).text
    assert "api://kit/data:process api://kit/records:read" in page


def test_swagger_ui_signs_in_with_pkce() -> None:
    page = TestClient(create(KNOWN)).get(docs.DOCS_URL).text
    assert '"usePkceWithAuthorizationCodeGrant": true' in page
    assert '"clientId": "ui"' in page
    assert '"audience": "kit"' in page
    scopes = " ".join(scope for scope in SCOPES if scope != "admin")
    assert f'"scopes": "{scopes}"' in page
    cognito = create(KNOWN, audience_claim="client_id")
    assert '"audience"' not in TestClient(cognito).get(docs.DOCS_URL).text


def test_a_client_id_cannot_end_the_script() -> None:
    page = TestClient(create(client_id="</script><script>alert(1)")).get(docs.DOCS_URL)
    assert "</script><script>" not in page.text.replace("\n", "")


def test_behind_a_prefix() -> None:
    client = TestClient(create(KNOWN), root_path="/shop")
    page = client.get(docs.DOCS_URL).text
    assert "'/shop/api/v1/docs/oauth2-redirect'" in page
    answer = client.get(docs.LOGIN_URL)
    assert answer.status_code == 200
    assert answer.headers["Content-Security-Policy"] == docs.POLICY


@pytest.mark.parametrize(
    ("issuer", "endpoints", "origin"),
    [
        (ISSUER, KNOWN, "https://tokens.example"),
        (ISSUER, None, "https://id.example:8443"),
        ("https://bücher.example", None, "https://xn--bcher-kva.example"),
        ("http://[::1]:9000", None, "http://[::1]:9000"),
        ("https://a;sandbox", None, None),
        (f"https://{'x' * 64}.example", None, None),
    ],
)
def test_the_page_may_ask_the_provider_and_nobody_else(
    issuer: str, endpoints: Endpoints | None, origin: str | None
) -> None:
    client = TestClient(create(endpoints, issuer))
    more = f"; connect-src 'self' {origin}" if origin else ""
    answer = client.get(docs.DOCS_URL)
    assert answer.headers["Content-Security-Policy"] == f"{docs.POLICY}{more}"
    for url in (docs.LOGIN_URL, docs.REDOC_URL):
        assert client.get(url).headers["Content-Security-Policy"] == docs.POLICY


def test_without_authentication_nothing_changes() -> None:
    app = create_echo_app()
    schema = app.openapi()
    assert "securitySchemes" not in schema["components"]
    assert "security" not in schema["paths"][PROCESS]["post"]
    answer = TestClient(app).get(docs.DOCS_URL)
    assert answer.headers["Content-Security-Policy"] == docs.POLICY
    assert "initOAuth" not in answer.text
