"""Which pages of other origins may call from a browser, and which proxies to trust."""

import re
from ipaddress import ip_network
from typing import Annotated, Self

from pydantic import AfterValidator, Field, model_validator
from pydantic_settings import SettingsConfigDict

from chassis.environment import Group

_DEFAULT_PORTS = {"http": "80", "https": "443"}
_ORIGIN = re.compile(
    r"(?P<scheme>[a-z][a-z0-9+.-]*)://(?P<host>[a-z0-9._-]+|\[[0-9a-f:.]+\])"
    r"(?::(?P<port>[0-9]{1,5}))?"
)
# A token of RFC 9110; * stands for all.
_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")


def normal_origin(origin: str) -> str | None:
    """The origin as browsers write it: in lower case, without a default port.

    None if it is not an origin. Apps in a web view have schemes of their own, such as
    ``capacitor://localhost``.
    """
    found = _ORIGIN.fullmatch(origin.lower())
    if found is None or int(found["port"] or 0) > 65535:
        return None
    scheme, host, port = found.group("scheme", "host", "port")
    is_default = port is None or port == _DEFAULT_PORTS.get(scheme)
    return f"{scheme}://{host}" + ("" if is_default else f":{port}")


def _check_origin(origin: str) -> str:
    normal = origin if origin == "*" else normal_origin(origin)
    if normal is None:
        raise ValueError(
            "write an origin as https://example.org, without a slash at the end; "
            "a name beyond ASCII as xn--..."
        )
    return normal


def _check_token(name: str) -> str:
    if not _TOKEN.fullmatch(name):
        raise ValueError("write names of methods and headers, such as X-Name")
    return name


def check_proxies(proxies: str) -> str:
    """Refuse what uvicorn would never match; it takes any text."""
    for proxy in (each.strip() for each in proxies.split(",") if each.strip()):
        if proxy == "*":
            continue
        try:
            ip_network(proxy)
        except ValueError as error:
            raise ValueError(
                "list addresses and networks with commas, such as "
                "10.0.0.0/8,192.0.2.7; a network has no bits after its prefix"
            ) from error
    return proxies


Origin = Annotated[str, AfterValidator(_check_origin)]
Name = Annotated[str, AfterValidator(_check_token)]
Method = Annotated[Name, AfterValidator(str.upper)]


class CorsSettings(Group):
    """Browsers: what pages of other origins may do (CORS)."""

    model_config = SettingsConfigDict(env_prefix="CORS_")

    origins: list[Origin] = Field(
        [],
        description="JSON list of the origins allowed to call from a browser: "
        '["https://app.example.org"]',
    )
    methods: list[Method] = Field(
        ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"],
        description="JSON list of the methods that they may use",
    )
    headers: list[Name] = Field(
        ["Authorization", "Content-Type", "Idempotency-Key", "Last-Event-ID"]
        + ["X-Request-ID", "traceparent", "tracestate", "baggage"],
        description='JSON list of the request headers that they may send; ["*"] for '
        "all",
    )
    exposed_headers: list[Name] = Field(
        ["Accept-Encoding", "Allow", "Idempotency-Replayed", "Link", "Location"]
        + ["RateLimit", "RateLimit-Policy", "Retry-After", "WWW-Authenticate"]
        + ["X-Request-ID"],
        description="JSON list of the response headers that their scripts may read",
    )
    credentials: bool = Field(
        False, description="Whether they may send cookies; the API itself uses none"
    )
    max_age_seconds: int = Field(
        600,
        ge=0,
        description="How long a browser remembers what is allowed, in seconds",
    )

    @model_validator(mode="after")
    def name_origins_that_send_cookies(self) -> Self:
        """Any page of the web could act for its visitor."""
        if self.credentials and "*" in self.origins:
            raise ValueError("CORS_CREDENTIALS: list the CORS_ORIGINS instead of *")
        return self
