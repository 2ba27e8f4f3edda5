"""Requests to the local issuer, as clients of OAuth 2.0 send them."""

import re
import secrets
from hashlib import sha256
from typing import Any
from urllib.parse import parse_qsl

import httpx2
import jwt
from httpx2 import Response

from local.issuer.clients import PERSON
from local.issuer.keys import base64url

SITE = "http://gateway.example:8081"
BACK = f"{SITE}/api/v1/docs/oauth2-redirect"
VERIFIER = secrets.token_urlsafe(32)
CHALLENGE = base64url(sha256(VERIFIER.encode()).digest())

REQUEST = {
    "response_type": "code",
    "client_id": PERSON,
    "redirect_uri": BACK,
    "scope": "openid records:read",
    "state": "a&b=ü",
    "nonce": "n-1",
    "code_challenge": CHALLENGE,
    "code_challenge_method": "S256",
}
EXCHANGE = {
    "grant_type": "authorization_code",
    "client_id": PERSON,
    "redirect_uri": BACK,
    "code_verifier": VERIFIER,
}


def changed(values: dict[str, str], changes: dict[str, str | None]) -> dict[str, str]:
    """With these changes; what is None is left out."""
    found = {**values, **changes}
    return {name: value for name, value in found.items() if value is not None}


def sign_in(http: httpx2.Client, **changes: str | None) -> dict[str, str]:
    """Send the form as alice; what the client learns from the address."""
    form = {"user": "alice", "scope:records:read": "1"}
    answer = http.post("/authorize", data=changed({**REQUEST, **form}, changes))
    assert answer.status_code == 303, answer.text
    back, _, query = answer.headers["Location"].partition("?")
    assert back == (changes.get("redirect_uri") or BACK)
    return dict(parse_qsl(query))


def exchange(http: httpx2.Client, code: str, **changes: str | None) -> Response:
    return http.post("/token", data=changed({**EXCHANGE, "code": code}, changes))


def refusal(answer: Response, status: int = 400) -> str:
    """The code of an error of the token endpoint (RFC 6749, section 5.2)."""
    assert answer.status_code == status, answer.text
    assert answer.headers["Cache-Control"] == "no-store"
    said = answer.json()
    assert re.fullmatch(r"[ !#-\[\]-~]+", said["error_description"])
    return str(said["error"])


def read(http: httpx2.Client, token: str, audience: str) -> dict[str, Any]:
    """The claims of a token, by the key that the issuer publishes."""
    (key,) = http.get(discovery(http)["jwks_uri"]).json()["keys"]
    header = jwt.get_unverified_header(token)
    assert (header["kid"], header["alg"]) == (key["kid"], key["alg"])
    issuer = str(http.base_url).rstrip("/")
    found: dict[str, Any] = jwt.decode(
        token, jwt.PyJWK(key), [key["alg"]], issuer=issuer, audience=audience
    )
    return found


def discovery(http: httpx2.Client) -> dict[str, Any]:
    found: dict[str, Any] = http.get("/.well-known/openid-configuration").json()
    return found
