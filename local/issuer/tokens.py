"""What the provider says in its tokens, and about itself."""

import re
import time
import uuid
from collections.abc import Iterable, Mapping
from typing import Any

from local.issuer.keys import ALGORITHM, SigningKey

AUDIENCE = "local-api"
#: Seconds that a token is valid.
LIFETIME = 3600

OPENID, ADMIN = "openid", "admin"

#: What a user may be called; a subject has at most 255 characters (OpenID Connect).
USER = re.compile(r"(?=.*\S).{1,255}")


class Tokens:
    """`scopes` are those of the API, with what each allows."""

    def __init__(self, issuer: str, key: SigningKey, scopes: Mapping[str, str]) -> None:
        self.issuer = issuer
        self.key = key
        self.scopes = scopes

    @property
    def usual(self) -> list[str]:
        """The scopes of a request that names none."""
        return [name for name in self.scopes if name != ADMIN]

    def are_known(self, scopes: Iterable[str]) -> bool:
        """Whether a token can have each of them."""
        return {*self.scopes, OPENID}.issuperset(scopes)

    def access(self, subject: str, client_id: str, scope: str) -> str:
        """An access token (RFC 9068)."""
        claims = {
            "aud": AUDIENCE,
            "client_id": client_id,
            "scope": scope,
            "jti": uuid.uuid4().hex,
        }
        return self.key.sign({**self._claims(subject), **claims}, "at+jwt")

    def identity(self, subject: str, client_id: str, nonce: str | None) -> str:
        """An ID token (OpenID Connect Core 1.0, section 2)."""
        more = {} if nonce is None else {"nonce": nonce}
        claims = {**self._claims(subject), "aud": client_id, **more}
        return self.key.sign(claims, "JWT")

    def _claims(self, subject: str) -> dict[str, Any]:
        now = int(time.time())
        return {"iss": self.issuer, "sub": subject, "iat": now, "exp": now + LIFETIME}

    def discovery(self) -> dict[str, Any]:
        """Where everything is (OpenID Connect Discovery 1.0, RFC 8414)."""
        return {
            "issuer": self.issuer,
            "authorization_endpoint": f"{self.issuer}/authorize",
            "token_endpoint": f"{self.issuer}/token",
            "jwks_uri": f"{self.issuer}/jwks",
            "scopes_supported": [OPENID, *self.scopes],
            "response_types_supported": ["code"],
            "response_modes_supported": ["query"],
            "grant_types_supported": ["authorization_code", "client_credentials"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": [ALGORITHM],
            "token_endpoint_auth_methods_supported": [
                *("none", "client_secret_basic", "client_secret_post")
            ],
            "code_challenge_methods_supported": ["S256"],
            "authorization_response_iss_parameter_supported": True,
            "request_uri_parameter_supported": False,
        }
