"""Who may call: the identity provider, and how its tokens look."""

import ssl
from ipaddress import ip_address
from typing import Annotated, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, model_validator
from pydantic_settings import SettingsConfigDict

from chassis.environment import Group

#: Signatures with a public key. With HMAC, whoever can verify can also sign.
ASYMMETRIC = [
    *("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"),
    *("ES256", "ES384", "ES512", "EdDSA"),
]


def is_loopback(host: str) -> bool:
    """Whether the host is this machine."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def is_safe_url(url: str) -> bool:
    """Whether nobody on the way can change the answer: https, or http on this
    machine."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        return False
    if any(c.isspace() or not c.isprintable() for c in url) or not host:
        return False
    return parts.scheme == "https" or (parts.scheme == "http" and is_loopback(host))


def discovery_url(issuer: str) -> str:
    """Where the provider describes itself (OpenID Connect Discovery 1.0)."""
    return issuer.rstrip("/") + "/.well-known/openid-configuration"


def _check_issuer(issuer: str) -> str:
    parts = urlsplit(issuer)
    if not is_safe_url(issuer) or parts.query or parts.fragment or "@" in parts.netloc:
        raise ValueError(
            "write it as the provider does, such as https://id.example.org/realms/a; "
            "http only on a loopback address"
        )
    return issuer


def _check_algorithm(algorithm: str) -> str:
    if algorithm not in ASYMMETRIC:
        raise ValueError(f"use {', '.join(ASYMMETRIC)}: they have a public key")
    return algorithm


def _check_ca_file(path: str) -> str:
    try:
        ssl.create_default_context(cafile=path)
    except OSError as error:  # also for what is no certificate
        raise ValueError(f"{path} holds no readable certificates: {error}") from error
    return path


class AuthSettings(Group):
    """Identity: who may call (OpenID Connect)."""

    model_config = SettingsConfigDict(env_prefix="AUTH_")

    issuer: Annotated[str, AfterValidator(_check_issuer)] | None = Field(
        None,
        description="The OpenID Connect provider whose tokens the API accepts; "
        "without it, everybody may do everything",
    )
    audience: str | None = Field(
        None,
        description="The audience that a token must name; if several fit, with commas",
    )
    audience_claim: str = Field(
        "aud",
        min_length=1,
        description="The claim that names it; client_id for Amazon Cognito",
    )
    roles_claim: str | None = Field(
        None,
        description="A claim with roles that count as scopes, such as "
        "realm_access.roles",
    )
    scope_prefix: str = Field(
        "",
        pattern=r"^[!#-\[\]-~]*$",
        description="What the provider puts before the name of a scope, such as kit/ "
        "of Amazon Cognito or api://kit/ of Entra ID",
    )
    algorithms: list[Annotated[str, AfterValidator(_check_algorithm)]] = Field(
        ASYMMETRIC,
        min_length=1,
        description="JSON list of the signature algorithms that are accepted",
    )
    leeway_seconds: float = Field(
        30,
        ge=0,
        le=300,
        description="How far the provider's clock may differ, in seconds",
    )
    keys_max_age_hours: float = Field(
        24,
        gt=0,
        description="How long the provider's keys are used while it does not answer, "
        "in hours",
    )
    ca_file: Annotated[str, AfterValidator(_check_ca_file)] | None = Field(
        None,
        description="CA certificates to trust for the provider instead of the "
        "system's",
    )
    client_id: str | None = Field(
        None, description="The public client with which Swagger UI signs in"
    )
    disabled: bool = Field(
        False, description="Accept a production environment without AUTH_ISSUER"
    )

    @property
    def audiences(self) -> list[str]:
        """The audiences that a token may name."""
        return [each for a in (self.audience or "").split(",") if (each := a.strip())]

    @model_validator(mode="after")
    def name_an_audience(self) -> Self:
        """A token for another API of the same provider must not open this one."""
        if self.issuer and not self.audiences:
            raise ValueError("AUTH_AUDIENCE: name the audience of this API's tokens")
        given = (self.audience, self.client_id, self.roles_claim)
        if not self.issuer and any(given):
            raise ValueError("AUTH_ISSUER: it is missing, and the API would be open")
        if self.issuer and self.disabled:
            raise ValueError("AUTH_DISABLED: remove it, or remove AUTH_ISSUER")
        return self
