"""Verifies access tokens: JWTs by RFC 9068, or as OpenID Connect providers sign them.

Nothing in a token's header leads to a key: only its id and the algorithm are read, and
both must be the provider's and of AUTH_ALGORITHMS.
"""

import time
from collections.abc import Iterator, Mapping
from hashlib import sha256
from typing import Any

import jwt
from jwt.exceptions import (
    ExpiredSignatureError,
    ImmatureSignatureError,
    InvalidIssuerError,
    InvalidSignatureError,
    MissingRequiredClaimError,
    PyJWTError,
)

from app.core.auth_settings import AuthSettings
from app.core.exceptions import Unauthenticated
from app.core.pace import Pace
from app.core.principal import Principal
from app.infrastructure.identity.provider import Endpoints, Provider
from chassis.telemetry import tracing

MAX_BYTES = 16 * 1024
#: Characters of a subject (OpenID Connect Core 1.0, section 2).
MAX_SUBJECT = 255
#: Verified tokens that a process remembers.
MAX_REMEMBERED = 5_000

TYPES = ("jwt", "at+jwt", "application/at+jwt")
REQUIRED = ["exp", "iat", "iss", "sub"]

# What is said about each of PyJWT's errors: their own texts may quote the token.
REASONS: Mapping[type[Exception], str] = {
    ExpiredSignatureError: "The token has expired.",
    ImmatureSignatureError: "The token is not valid yet.",
    InvalidIssuerError: "The token is from another issuer.",
    InvalidSignatureError: "The signature of the token is wrong.",
    MissingRequiredClaimError: "The token lacks one of exp, iat, iss and sub.",
}
UNREADABLE = "The token cannot be read."

_refused = tracing.meter.create_counter(
    "app.auth.refused_tokens",
    unit="{token}",
    description="Tokens that were not accepted, by reason.",
)


class TokenVerifier:
    """One per process. A verified token is remembered until it expires, or until the
    provider's keys change."""

    def __init__(self, settings: AuthSettings, provider: Provider) -> None:
        self._settings = settings
        self._audiences = frozenset(settings.audiences)
        self._provider = provider
        self._generation = provider.generation
        self._checks = Pace()
        self._known: dict[bytes, tuple[Principal, float]] = {}

    @property
    def endpoints(self) -> Endpoints | None:
        """The provider's, once it has named them."""
        return self._provider.endpoints

    async def verify(self, token: str) -> Principal:
        """Whose token it is, and what it allows.

        Raises:
            Unauthenticated: it is not valid, with the reason.
            ProviderUnavailable: the provider's keys are not known.
        """
        name = sha256(token.encode()).digest()
        if self._generation != self._provider.generation:
            self._generation = self._provider.generation
            self._known.clear()
        known = self._known.get(name)
        if known is not None and time.time() < known[1]:
            return known[0]
        try:
            principal, ends = await self._read(token)
        except Unauthenticated as error:
            _refused.add(1, {"app.auth.reason": error.detail})
            raise
        while len(self._known) >= MAX_REMEMBERED:
            del self._known[next(iter(self._known))]
        self._known[name] = principal, ends
        return principal

    async def _read(self, token: str) -> tuple[Principal, float]:
        if len(token) > MAX_BYTES:
            raise _bad("The token is too long.")
        try:
            header = jwt.get_unverified_header(token)
        except (PyJWTError, ValueError) as error:
            raise _bad(UNREADABLE) from error
        algorithm, key_id = header.get("alg"), header.get("kid")
        if algorithm not in self._settings.algorithms:
            raise _bad("The token is signed with another algorithm.")
        kind = header.get("typ", TYPES[0])
        if not isinstance(kind, str) or kind.lower() not in TYPES:
            raise _bad("The token is not an access token.")
        key = await self._provider.find_key(key_id, algorithm)
        if key is None:
            raise _bad("The token is signed with an unknown key.")
        await self._checks.wait()
        try:
            claims = jwt.decode(
                token,
                key,
                algorithms=self._settings.algorithms,
                issuer=self._settings.issuer,
                leeway=self._settings.leeway_seconds,
                options={
                    "require": REQUIRED,
                    "verify_aud": False,  # the claim may have another name
                    "enforce_minimum_key_length": True,
                },
            )
            ends = float(claims["exp"]) + self._settings.leeway_seconds
        except (PyJWTError, ValueError, TypeError, OverflowError) as error:
            raise _bad(REASONS.get(type(error), UNREADABLE)) from error
        named = claims.get(self._settings.audience_claim)
        if self._audiences.isdisjoint(
            [named] if isinstance(named, str) else _texts(named)
        ):
            raise _bad("The token is for another audience.")
        return Principal(_subject(claims), frozenset(self._scopes(claims))), ends

    def _scopes(self, claims: Mapping[str, Any]) -> Iterator[str]:
        for name in ("scope", "scp"):
            for scope in _texts(claims.get(name)):
                yield scope.removeprefix(self._settings.scope_prefix)
        if self._settings.roles_claim:
            yield from _texts(_find(claims, self._settings.roles_claim))


def _bad(detail: str) -> Unauthenticated:
    return Unauthenticated(detail, is_token=True)


def _subject(claims: Mapping[str, Any]) -> str:
    subject = claims["sub"]
    # Headers, columns and log lines take it as it is.
    if not 0 < len(subject) <= MAX_SUBJECT or not subject.isprintable():
        raise _bad("The subject of the token is empty, too long or not printable.")
    return str(subject)


def _find(claims: Mapping[str, Any], path: str) -> Any:
    """The claim of that name; else a claim inside others, as in ``a.b``."""
    if path in claims:
        return claims[path]
    found: Any = claims
    for name in path.split("."):
        found = found.get(name) if isinstance(found, dict) else None
    return found


def _texts(value: Any) -> Iterator[str]:
    """The texts of a claim: separated by spaces, or a list."""
    if isinstance(value, str):
        yield from value.split()
    elif isinstance(value, list):
        yield from (each for each in value if isinstance(each, str))
