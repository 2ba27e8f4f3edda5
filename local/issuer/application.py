"""The provider's endpoints: an ASGI application."""

from base64 import b64decode
from typing import Any
from urllib.parse import unquote_plus, urlencode

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from local.issuer import page
from local.issuer.clients import MACHINE, PERSON, Clients
from local.issuer.codes import CHALLENGE, Codes, Grant, fits
from local.issuer.parameters import Refused, needed, parse, parse_form
from local.issuer.tokens import LIFETIME, OPENID, USER, Tokens

# A page of another origin may read these; it needs no permission to know the keys, and
# a code or secret to get a token.
SHARED = Middleware(
    CORSMiddleware,
    allow_origins=["*"],
    allow_methods=["GET", "POST"],
    allow_headers=["*"],
)

# A site whose name an attacker has pointed to this machine is not served.
HOSTS = ["127.0.0.1", "localhost", "[::1]"]


def create_issuer(
    tokens: Tokens, clients: Clients, codes: Codes | None = None
) -> Starlette:
    """The provider as an application."""
    endpoints = Endpoints(tokens, clients, codes or Codes())
    shared = [
        ("/.well-known/openid-configuration", endpoints.discovery, "GET"),
        ("/jwks", endpoints.keys, "GET"),
        ("/token", endpoints.token, "POST"),
    ]
    return Starlette(
        routes=[
            Route("/authorize", endpoints.authorize, methods=["GET", "POST"]),
            *(
                Route(path, answer, methods=[method, "OPTIONS"], middleware=[SHARED])
                for path, answer, method in shared
            ),
        ],
        middleware=[Middleware(TrustedHostMiddleware, allowed_hosts=HOSTS)],
    )


class Endpoints:
    """What each path answers."""

    def __init__(self, tokens: Tokens, clients: Clients, codes: Codes) -> None:
        self._tokens = tokens
        self._clients = clients
        self._codes = codes

    async def discovery(self, _: Request) -> Response:
        """The provider about itself."""
        return JSONResponse(self._tokens.discovery())

    async def keys(self, _: Request) -> Response:
        """The key set (RFC 7517)."""
        return JSONResponse({"keys": [self._tokens.key.public]})

    async def authorize(self, request: Request) -> Response:
        """Ask who signs in; then return to the client with a code (RFC 6749, 4.1)."""
        is_form = request.method == "POST"
        own = f"http://{request.headers.get('host')}"
        if is_form and request.headers.get("origin", own) != own:
            return page.tell("Refused", "Another site has sent this form.", 403)
        try:
            given = await parse_form(request) if is_form else parse(request.url.query)
        except Refused as error:
            return page.tell("Refused", error.description, error.status)
        client_id, back = given.get("client_id", ""), given.get("redirect_uri", "")
        if not self._clients.may_return_to(client_id, back):
            return page.tell("Refused", f"{client_id!r} may not return to {back!r}.")
        try:
            scopes = self._check(given)
            if not is_form:
                return page.ask(given, self._tokens.scopes, scopes)
            answer = {"code": self._codes.create(_granted(given, scopes, self._tokens))}
        except Refused as error:
            answer = {"error": error.code, "error_description": error.description}
        if "state" in given:
            answer["state"] = given["state"]
        answer["iss"] = self._tokens.issuer  # RFC 9207
        headers = {"Cache-Control": "no-store"}
        return RedirectResponse(f"{back}?{urlencode(answer)}", 303, headers)

    def _check(self, given: dict[str, str]) -> list[str]:
        """The scopes of a request of which only the way back is known to be right."""
        if needed(given, "response_type") != "code":
            raise Refused("unsupported_response_type", "Only code is supported.")
        if given.get("response_mode", "query") != "query":
            raise Refused("invalid_request", "Only the response_mode query is known.")
        if given.get("code_challenge_method") != "S256":
            raise Refused("invalid_request", "The code_challenge_method must be S256.")
        if not CHALLENGE.fullmatch(needed(given, "code_challenge")):
            raise Refused("invalid_request", "The code_challenge is not of S256.")
        if given.get("prompt") == "none":
            raise Refused("login_required", "Somebody has to choose a user.")
        return self._scopes(given)

    def _scopes(self, given: dict[str, str]) -> list[str]:
        asked = list(dict.fromkeys(given.get("scope", "").split()))
        if not self._tokens.are_known(asked):
            known = ", ".join(self._tokens.scopes)
            raise Refused("invalid_scope", f"No such scope; there are: {known}.")
        return asked or self._tokens.usual

    async def token(self, request: Request) -> Response:
        """Exchange a code or a secret for a token (RFC 6749, sections 4.1.3, 4.4)."""
        headers = {"Cache-Control": "no-store"}
        try:
            given = await parse_form(request)
            kind = needed(given, "grant_type")
            if kind == "authorization_code":
                answer = self._exchange(given)
            elif kind == "client_credentials":
                answer = self._trust(given, request.headers.get("authorization", ""))
            else:
                raise Refused("unsupported_grant_type", "This grant_type is unknown.")
        except Refused as error:
            if error.status == 401:
                headers["WWW-Authenticate"] = "Basic"
            said = {"error": error.code, "error_description": error.description}
            return JSONResponse(said, error.status, headers)
        return JSONResponse(answer, headers=headers)

    def _exchange(self, given: dict[str, str]) -> dict[str, Any]:
        client_id, code = needed(given, "client_id"), needed(given, "code")
        verifier = needed(given, "code_verifier")
        back = needed(given, "redirect_uri")
        if client_id == MACHINE:
            raise Refused("unauthorized_client", "This client has no codes.")
        if client_id != PERSON:
            raise Refused("invalid_client", "This client is unknown.", 401)
        grant = self._codes.take(code)
        if grant is None:
            raise Refused("invalid_grant", "The code is unknown, used or too old.")
        if (grant.client_id, grant.redirect_uri) != (client_id, back):
            raise Refused("invalid_grant", "The code is for another redirect_uri.")
        if not fits(verifier, grant.challenge):
            raise Refused("invalid_grant", "The code_verifier does not fit.")
        answer = self._answer(grant.user, client_id, grant.scope)
        if OPENID in grant.scope.split():
            identity = self._tokens.identity(grant.user, client_id, grant.nonce)
            answer["id_token"] = identity
        return answer

    def _trust(self, given: dict[str, str], authorization: str) -> dict[str, Any]:
        client_id, secret = given.get("client_id", ""), given.get("client_secret", "")
        if authorization:
            client_id, secret = _basic(authorization)
        if client_id == PERSON:
            raise Refused("unauthorized_client", "This client has no secret.")
        if not self._clients.is_machine(client_id, secret):
            raise Refused("invalid_client", "The client or its secret is wrong.", 401)
        scopes = [each for each in self._scopes(given) if each != OPENID]
        return self._answer(client_id, client_id, " ".join(scopes))

    def _answer(self, subject: str, client_id: str, scope: str) -> dict[str, Any]:
        return {
            "access_token": self._tokens.access(subject, client_id, scope),
            "token_type": "Bearer",
            "expires_in": LIFETIME,
            "scope": scope,
        }


def _granted(given: dict[str, str], asked: list[str], tokens: Tokens) -> Grant:
    """What the form says. Raises Refused if its sender does not want to."""
    user = given.get(page.USER_FIELD, "")
    if page.DENY in given:
        raise Refused("access_denied", "The user does not want to.")
    if not USER.fullmatch(user) or not user.isprintable():
        raise Refused("access_denied", "The name of the user is empty or unprintable.")
    scopes = [name for name in tokens.scopes if page.scope_field(name) in given]
    return Grant(
        given["client_id"],
        given["redirect_uri"],
        given["code_challenge"],
        user,
        " ".join([*([OPENID] if OPENID in asked else []), *scopes]),
        given.get("nonce"),
    )


def _basic(authorization: str) -> tuple[str, str]:
    """Client and secret of the header, which are form-encoded (RFC 6749, 2.3.1)."""
    scheme, _, coded = authorization.partition(" ")
    try:
        name, _, secret = (
            b64decode(coded.strip(), validate=True).decode().partition(":")
        )
    except ValueError:
        name = secret = ""
    if scheme.lower() != "basic":
        name = secret = ""
    return unquote_plus(name), unquote_plus(secret)
