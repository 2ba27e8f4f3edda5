"""`token`: a token of the local issuer, for a user and scopes."""

import json
import secrets
import sys
import urllib.error
import urllib.request
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from local import ports, status
from local.issuer.clients import CALLBACK, PERSON
from local.issuer.keys import base64url
from local.issuer.page import USER_FIELD, USERS, scope_field
from local.issuer.tokens import ADMIN, OPENID
from local.servers.issuer import Issuer
from local.state import LOCAL

NOT_RUNNING = "No local issuer is running: start the stack with `make run ARGS=--auth`."


class NoToken(Exception):
    """The issuer refuses; holds its reason."""


def show(arguments: list[str], path: Path = LOCAL / "run") -> int:
    """Print a token for the named user and scopes, and nothing else; 1 without one."""
    user, *scopes = arguments or [""]
    url = next((p.address for p in status.noted(path) if p.name == Issuer.name), None)
    try:
        if url is None:
            raise NoToken(NOT_RUNNING)
        print(get_token(url, user or USERS[0], " ".join(scopes).split()))
    except NoToken as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def get_token(issuer: str, user: str = USERS[0], scopes: Sequence[str] = ()) -> str:
    """Sign in as that user, with PKCE, as a browser would; the access token.

    Without `scopes` it has all but admin. Raises NoToken.
    """
    about = _ask(f"{issuer}/.well-known/openid-configuration")
    usual = [s for s in about["scopes_supported"] if s not in (ADMIN, OPENID)]
    chosen, verifier = list(scopes) or usual, secrets.token_urlsafe(32)
    request = {
        "response_type": "code",
        "client_id": PERSON,
        "redirect_uri": CALLBACK,
        "code_challenge": base64url(sha256(verifier.encode()).digest()),
        "code_challenge_method": "S256",
        "scope": " ".join(chosen),
        USER_FIELD: user,
        **{scope_field(scope): "1" for scope in chosen},
    }
    found = dict(parse_qsl(_sign_in(about["authorization_endpoint"], request)))
    if "code" not in found:
        raise NoToken(found.get("error_description", "The issuer refuses."))
    answer = _ask(
        about["token_endpoint"],
        {
            "grant_type": "authorization_code",
            "client_id": PERSON,
            "redirect_uri": CALLBACK,
            "code": found["code"],
            "code_verifier": verifier,
        },
    )
    return str(answer["access_token"])


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """The answer is in the address that it leads to."""

    def redirect_request(self, *_: Any) -> None:
        return None


_STAYING = urllib.request.build_opener(urllib.request.ProxyHandler({}), _NoRedirect)


def _sign_in(url: str, form: dict[str, str]) -> str:
    """The query of the address to which the issuer sends the browser."""
    try:
        _STAYING.open(url, urlencode(form).encode(), timeout=10).close()
    except urllib.error.HTTPError as answer:
        with answer:
            return urlsplit(answer.headers.get("Location", "")).query
    except OSError as error:
        raise NoToken(NOT_RUNNING) from error
    return ""


def _ask(url: str, form: dict[str, str] | None = None) -> Any:
    data = None if form is None else urlencode(form).encode()
    try:
        with ports.DIRECT.open(url, data, timeout=10) as answer:
            return json.load(answer)
    except (OSError, ValueError) as error:
        raise NoToken(NOT_RUNNING) from error
