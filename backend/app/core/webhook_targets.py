"""Where webhooks may go: public addresses, and networks that the operator allows.

A client chooses the URL, and our worker calls it. Without these rules, clients could
reach what only our machines can: databases, metadata services, other tenants.
"""

import socket
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

import httpx2

from app.core.webhook_settings import IpNetwork

MAX_URL_LENGTH = 2048
MAX_HOST_LENGTH = 253

# Ports below 1024 belong to other protocols: a request could be read as mail.
WEB_PORTS = {80, 443}
FIRST_FREE_PORT = 1024

# All public IPv6 addresses. Those outside of it contain IPv4 addresses (mapped, NAT64)
# or are local.
PUBLIC_IPV6 = ip_network("2000::/3")
# Beside what every version of Python knows.
NOT_PUBLIC = {
    ip_network("100.64.0.0/10"): "shared by customers of a provider",
    ip_network("192.0.0.0/24"): "reserved",
    ip_network("192.88.99.0/24"): "6to4",
    ip_network("168.63.129.16/32"): "Azure's metadata service",
    ip_network("2001::/23"): "reserved",
    ip_network("2002::/16"): "6to4",
    ip_network("3fff::/20"): "reserved",
}
KINDS = {
    "is_unspecified": "unspecified",
    "is_loopback": "loopback",
    "is_link_local": "link-local",
    "is_multicast": "multicast",
    "is_private": "private",
}


class TargetRefused(ValueError):
    """Webhooks must not go there; the text says why."""


def check_url(url: str, allows_http: bool, allowed: Iterable[IpNetwork]) -> str:
    """The host of a URL that webhooks may have. Names are resolved at each attempt.

    Raises:
        TargetRefused: they must not.
    """
    if len(url) > MAX_URL_LENGTH:
        raise TargetRefused(f"The URL has more than {MAX_URL_LENGTH} characters.")
    if not url.isascii() or not url.isprintable() or set(url) & set(' "<>\\^`{|}'):
        raise TargetRefused(
            "Write the URL in visible ASCII characters: encode others with %, and "
            "names of hosts as xn--..."
        )
    try:
        parsed = httpx2.URL(url)
        host = parsed.raw_host.decode("ascii").lower().rstrip(".")
    except (httpx2.InvalidURL, UnicodeError) as error:
        raise TargetRefused(f"This is no URL: {error}") from error
    if parsed.scheme not in ("https", "http") or not host:
        raise TargetRefused("Write a URL that begins with https:// and a host.")
    if parsed.scheme == "http" and not allows_http:
        raise TargetRefused("The URL must begin with https://.")
    if parsed.userinfo or "@" in url.partition("://")[2].partition("/")[0]:
        raise TargetRefused("A URL with a user or a password is not accepted.")
    if parsed.fragment or "#" in url:
        raise TargetRefused("A URL with a fragment (#) is not accepted.")
    if len(host) > MAX_HOST_LENGTH:
        raise TargetRefused(f"A host has at most {MAX_HOST_LENGTH} characters.")
    port = 443 if parsed.port is None else parsed.port
    if port not in WEB_PORTS and not FIRST_FREE_PORT <= port <= 65535:
        raise TargetRefused(f"Use port 443, 80, or one from {FIRST_FREE_PORT}.")
    address = literal_address(host)
    if address and (reason := why_refused(address, allowed)):
        raise TargetRefused(f"{address} is not a public address: {reason}.")
    return host


def literal_address(host: str) -> IPv4Address | IPv6Address | None:
    """The address that the host is, in any spelling that resolvers accept; None for a
    name."""
    try:
        return ip_address(host)
    except ValueError:
        pass
    try:
        return IPv4Address(socket.inet_aton(host))  # 2130706433, 0x7f.1, 127.1
    except OSError:
        return None


def why_refused(
    address: IPv4Address | IPv6Address, allowed: Iterable[IpNetwork]
) -> str | None:
    """What the address is instead of a public one; None if webhooks may go there."""
    if any(address in network for network in allowed):
        return None
    for attribute, kind in KINDS.items():
        if getattr(address, attribute):
            return kind
    for network, kind in NOT_PUBLIC.items():
        if address in network:
            return kind
    is_public = address.version == 4 or address in PUBLIC_IPV6
    return None if is_public and address.is_global else "reserved"
