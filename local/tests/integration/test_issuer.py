"""The local issuer as a process."""

import re
import secrets
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import httpx2
import jwt
import pytest

from local import tokens
from local.issuer.clients import MACHINE, PERSON, SECRET_FILE
from local.issuer.tokens import AUDIENCE
from local.ports import free_port
from local.servers.base import plain_environment
from local.servers.issuer import Issuer
from local.state import LOCAL, State
from local.tests.integration.oauth import (
    BACK,
    CHALLENGE,
    EXCHANGE,
    REQUEST,
    SITE,
    VERIFIER,
    changed,
    discovery,
    exchange,
    read,
    refusal,
    sign_in,
)


def usual_scopes(http: httpx2.Client) -> str:
    """All but admin; a team has scopes of its own."""
    found = discovery(http)["scopes_supported"]
    assert {"records:read", "metrics:read"} < set(found)
    return " ".join(name for name in found if name not in ("openid", "admin"))


@pytest.fixture(scope="module")
def issuer(state: State) -> Iterator[Issuer]:
    server = Issuer(state, free_port(), [SITE])
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def http(issuer: Issuer) -> Iterator[httpx2.Client]:
    with httpx2.Client(base_url=issuer.url, timeout=30) as client:
        yield client


def test_it_describes_itself(http: httpx2.Client, issuer: Issuer) -> None:
    found = discovery(http)
    assert found["issuer"] == issuer.url
    assert {"openid", "records:read", "admin"} < set(found["scopes_supported"])
    assert found["code_challenge_methods_supported"] == ["S256"]


def test_somebody_signs_in(http: httpx2.Client, issuer: Issuer) -> None:
    page = http.get("/authorize", params={**REQUEST, "scope:admin": "1"})
    assert page.status_code == 200
    assert "frame-ancestors 'none'" in page.headers["Content-Security-Policy"]
    # The boxes as they were asked for: nothing of the request ticks another one.
    assert re.findall(r'name="scope:(\S+)" value="1" checked', page.text) == [
        "records:read"
    ]
    hidden = re.findall(r'type="hidden" name="(.*?)" value="(.*?)">', page.text)
    sent = {name: value.replace("&amp;", "&") for name, value in hidden}
    assert sent == REQUEST

    found = sign_in(http, **{"user": "Zoë", "scope:metrics:read": "1"})
    assert (found["state"], found["iss"]) == (REQUEST["state"], issuer.url)
    answer = exchange(http, found["code"])
    assert answer.headers["Cache-Control"] == "no-store"
    given = answer.json()
    assert given["scope"] == "openid records:read metrics:read"
    assert given["token_type"] == "Bearer"

    token = given["access_token"]
    assert jwt.get_unverified_header(token)["typ"] == "at+jwt"
    claims = read(http, token, AUDIENCE)
    assert (claims["sub"], claims["client_id"]) == ("Zoë", PERSON)
    assert claims["scope"] == given["scope"] and claims["jti"]
    assert claims["exp"] - claims["iat"] == given["expires_in"]

    about = read(http, given["id_token"], PERSON)
    assert (about["sub"], about["nonce"]) == ("Zoë", "n-1")


def test_without_openid_there_is_no_id_token(http: httpx2.Client) -> None:
    answer = exchange(http, sign_in(http, scope=None)["code"]).json()
    assert "id_token" not in answer and answer["scope"] == "records:read"


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"response_type": "token"}, "unsupported_response_type"),
        ({"response_type": None}, "invalid_request"),
        ({"response_mode": "fragment"}, "invalid_request"),
        ({"code_challenge": None}, "invalid_request"),
        ({"code_challenge_method": None}, "invalid_request"),
        ({"code_challenge_method": "plain"}, "invalid_request"),
        ({"code_challenge": VERIFIER + "+"}, "invalid_request"),
        ({"code_challenge": "short"}, "invalid_request"),
        ({"scope": "records:read records:write"}, "invalid_scope"),
        ({"prompt": "none"}, "login_required"),
    ],
)
def test_a_request_that_cannot_be_met_returns_to_its_client(
    http: httpx2.Client, issuer: Issuer, changes: dict[str, str | None], error: str
) -> None:
    answer = http.get("/authorize", params=changed(REQUEST, changes))
    assert answer.status_code == 303
    asked = dict(parse_qsl(urlsplit(answer.headers["Location"]).query))
    for found in (asked, sign_in(http, **changes)):
        assert found["error"] == error and "code" not in found
        assert (found["state"], found["iss"]) == (REQUEST["state"], issuer.url)


@pytest.mark.parametrize("changes", [{"deny": "1"}, {"user": None}, {"user": "a\nb"}])
def test_no_code_without_a_user(
    http: httpx2.Client, changes: dict[str, str | None]
) -> None:
    found = sign_in(http, **changes)
    assert found["error"] == "access_denied" and "code" not in found


@pytest.mark.parametrize(
    "changes",
    [
        {"redirect_uri": "https://evil.example/callback"},
        {"redirect_uri": f"{BACK}/"},
        {"redirect_uri": BACK.replace("http:", "https:")},
        {"redirect_uri": None},
        {"client_id": "other"},
        {"client_id": MACHINE},
        {"client_id": None},
    ],
)
def test_nobody_is_sent_to_an_unknown_address(
    http: httpx2.Client, changes: dict[str, str | None]
) -> None:
    request = changed({**REQUEST, "user": "alice"}, changes)
    for answer in (
        http.get("/authorize", params=request),
        http.post("/authorize", data=request),
    ):
        assert answer.status_code == 400
        assert "Location" not in answer.headers


def test_other_sites_cannot_sign_in(http: httpx2.Client) -> None:
    form = {**REQUEST, "user": "alice"}
    for origin in ("http://evil.example", "null"):
        answer = http.post("/authorize", data=form, headers={"Origin": origin})
        assert answer.status_code == 403
    own = {"Origin": str(http.base_url).rstrip("/")}
    assert http.post("/authorize", data=form, headers=own).status_code == 303
    # A name of an attacker that leads to this machine.
    for path in ("/jwks", "/authorize"):
        assert http.get(path, headers={"Host": "evil.example"}).status_code == 400


def test_pages_of_other_origins_get_tokens_and_keys_alone(http: httpx2.Client) -> None:
    origin = {"Origin": SITE}
    asked = {
        **origin,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "x-requested-with,authorization",
    }
    allowed = http.options("/token", headers=asked)
    assert allowed.status_code == 200
    assert "x-requested-with" in allowed.headers["Access-Control-Allow-Headers"]
    for path in ("/.well-known/openid-configuration", "/jwks"):
        answer = http.get(path, headers=origin)
        assert answer.headers["Access-Control-Allow-Origin"] == "*"
    refused = http.post("/token", data={}, headers=origin)
    assert refused.headers["Access-Control-Allow-Origin"] == "*"
    page = http.get("/authorize", params=REQUEST, headers=origin)
    assert "Access-Control-Allow-Origin" not in page.headers


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"code_verifier": secrets.token_urlsafe(32)}, "invalid_grant"),
        ({"code_verifier": CHALLENGE}, "invalid_grant"),  # as with plain
        ({"redirect_uri": "http://127.0.0.1/callback"}, "invalid_grant"),
    ],
)
def test_a_code_is_lost_by_a_wrong_proof(
    http: httpx2.Client, changes: dict[str, str | None], error: str
) -> None:
    code = sign_in(http)["code"]
    assert refusal(exchange(http, code, **changes)) == error
    assert refusal(exchange(http, code)) == "invalid_grant"


def test_a_code_works_once(http: httpx2.Client) -> None:
    code = sign_in(http)["code"]
    assert exchange(http, code).status_code == 200
    assert refusal(exchange(http, code)) == "invalid_grant"
    assert refusal(exchange(http, "guessed")) == "invalid_grant"


@pytest.mark.parametrize(
    ("changes", "error", "status"),
    [
        ({"code_verifier": None}, "invalid_request", 400),
        ({"redirect_uri": None}, "invalid_request", 400),
        ({"client_id": None}, "invalid_request", 400),
        ({"client_id": MACHINE}, "unauthorized_client", 400),
        ({"client_id": "other"}, "invalid_client", 401),
        ({"grant_type": None}, "invalid_request", 400),
        ({"grant_type": "password"}, "unsupported_grant_type", 400),
        ({"grant_type": "refresh_token"}, "unsupported_grant_type", 400),
    ],
)
def test_an_exchange_that_is_not_one(
    http: httpx2.Client, changes: dict[str, str | None], error: str, status: int
) -> None:
    code = sign_in(http)["code"]
    assert refusal(exchange(http, code, **changes), status) == error


def test_a_program_gets_tokens_by_its_secret(
    http: httpx2.Client, issuer: Issuer
) -> None:
    secret = (issuer.folder / SECRET_FILE).read_text()
    form = {"grant_type": "client_credentials"}
    own = {"client_id": MACHINE, "client_secret": secret}
    by_header = http.post("/token", data=form, auth=(MACHINE, secret)).json()
    by_form = http.post("/token", data={**form, **own, "scope": "admin"}).json()
    assert read(http, by_header["access_token"], AUDIENCE)["scope"] == usual_scopes(
        http
    )
    claims = read(http, by_form["access_token"], AUDIENCE)
    assert (claims["sub"], claims["client_id"]) == (MACHINE, MACHINE)
    assert claims["scope"] == by_form["scope"] == "admin"
    assert "id_token" not in by_form

    for wrong in (
        http.post("/token", data=form, auth=(MACHINE, secret[:-1])),
        http.post("/token", data=form, auth=(MACHINE, "")),
        http.post("/token", data=form, auth=("other", secret)),
        http.post("/token", data=form, headers={"Authorization": "Basic !"}),
        http.post("/token", data=form, headers={"Authorization": f"Bearer {secret}"}),
        http.post("/token", data={**form, **own, "client_secret": "é"}),
        http.post("/token", data=form),
    ):
        assert refusal(wrong, 401) == "invalid_client"
        assert wrong.headers["WWW-Authenticate"] == "Basic"
    person = http.post("/token", data={**form, "client_id": PERSON})
    assert refusal(person) == "unauthorized_client"
    unknown = http.post("/token", data={**form, **own, "scope": "all"})
    assert refusal(unknown) == "invalid_scope"


def test_only_short_forms_are_read(http: httpx2.Client) -> None:
    assert refusal(http.post("/token", json=EXCHANGE)) == "invalid_request"
    long = http.post("/token", data={**EXCHANGE, "code": "x" * 9000})
    assert refusal(long, 413) == "invalid_request"
    page = http.get("/authorize", params={**REQUEST, "state": "x" * 9000})
    assert page.status_code == 400


def test_tokens_outlive_a_restart_and_codes_do_not(
    http: httpx2.Client, issuer: Issuer
) -> None:
    token, code = tokens.get_token(issuer.url), sign_in(http)["code"]
    issuer.kill()
    issuer.start()
    claims = read(http, token, AUDIENCE)
    assert (claims["sub"], claims["scope"]) == ("alice", usual_scopes(http))
    assert refusal(exchange(http, code)) == "invalid_grant"


@pytest.mark.promise(
    "docs/SECURITY.md",
    "So it listens on a loopback address only, and answers no other host name.",
)
@pytest.mark.parametrize("address", ["0.0.0.0:8082", "[::]:8082", "example.org:8082"])
def test_it_serves_this_machine_alone(
    issuer: Issuer, tmp_path: Path, address: str
) -> None:
    words = [sys.executable, "-m", "local.issuer", address, str(tmp_path)]
    env = {**plain_environment(), "PYTHONPATH": issuer.command().env["PYTHONPATH"]}
    result = subprocess.run(
        words, cwd=LOCAL.parent, env=env, capture_output=True, text=True, timeout=60
    )
    assert result.returncode == 2 and "loopback" in result.stderr
    assert not list(tmp_path.iterdir())


def test_a_refused_sign_in_says_why(issuer: Issuer) -> None:
    with pytest.raises(tokens.NoToken, match="scope"):
        tokens.get_token(issuer.url, scopes=["records:nonsense"])
