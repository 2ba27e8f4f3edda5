"""Signing in with Swagger UI: authorization code with PKCE (RFC 7636).

Swagger UI can read an ``openIdConnect`` scheme, but then it lists the scopes and flows
of the provider instead of ours. So the schema names the provider's addresses, as soon
as the provider has named them.
"""

import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from app.core.auth_settings import AuthSettings, discovery_url
from app.core.principal import ADMIN

if TYPE_CHECKING:  # `app.resources.open_identity` says why
    from app.infrastructure.identity.provider import Endpoints

DESCRIPTION = (
    "A token of the provider. It needs one of the scopes that the operation names, "
    "or `admin`."
)

_HOST = re.compile(r"[A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\]")


class SignIn:
    """What the schema and the page say about the provider, also while it is down.

    Args:
        scopes: ours, each with what it allows.
        find_endpoints: returns its addresses, or None if they are not known yet.
    """

    def __init__(
        self,
        settings: AuthSettings,
        scopes: Mapping[str, str],
        find_endpoints: "Callable[[], Endpoints | None]",
    ) -> None:
        self._settings = settings
        self._scopes = scopes
        self._find_endpoints = find_endpoints

    def scheme(self) -> dict[str, Any]:
        """The security scheme of the schema."""
        found = self._find_endpoints()
        if found is None or found.authorization is None or found.token is None:
            return {
                "type": "openIdConnect",
                "openIdConnectUrl": discovery_url(self._settings.issuer or ""),
                "description": DESCRIPTION,
            }
        flow = {
            "authorizationUrl": found.authorization,
            "tokenUrl": found.token,
            "scopes": {self._requested(n): text for n, text in self._scopes.items()},
        }
        return {
            "type": "oauth2",
            "flows": {"authorizationCode": flow},
            "description": DESCRIPTION,
        }

    def _requested(self, scope: str) -> str:
        """The scope as a client asks the provider for it."""
        return f"{self._settings.scope_prefix}{scope}"

    def options(self) -> dict[str, Any]:
        """For ``initOAuth`` of Swagger UI. Everything except ``admin`` is ticked."""
        scopes = [self._requested(name) for name in self._scopes if name != ADMIN]
        # Auth0's tokens are no JWTs without it; others ignore it (RFC 6749, 3.1).
        has_audience = self._settings.audience_claim == "aud"
        audience = {"audience": self._settings.audiences[0]} if has_audience else {}
        return {
            "usePkceWithAuthorizationCodeGrant": True,
            "clientId": self._settings.client_id or "",
            "scopes": " ".join(scopes),
            "additionalQueryStringParams": audience,
        }

    def origin(self) -> str | None:
        """The only origin beside ours that the page sends requests to."""
        found = self._find_endpoints()
        if found is None or found.token is None:
            return _origin(self._settings.issuer or "")
        return _origin(found.token)


def _origin(url: str) -> str | None:
    """As a Content-Security-Policy takes it; None if it has no place there."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    try:
        host = f"[{host}]" if ":" in host else host.encode("idna").decode()
    except UnicodeError:
        return None
    if not _HOST.fullmatch(host):
        return None
    return f"{parts.scheme}://{host}" + (f":{parts.port}" if parts.port else "")
