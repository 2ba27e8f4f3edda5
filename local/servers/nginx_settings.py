"""What the gateway's settings may be: deploy/nginx/check.sh has the same rules."""

import re
from collections.abc import Callable, Mapping
from ipaddress import ip_network

from local.process import ProcessFailed

Rule = Callable[[str], bool]


def _number(text: str, most: int) -> bool:
    return bool(re.fullmatch("[0-9]{1,7}", text)) and 1 <= int(text) <= most


def _whole(most: int) -> tuple[Rule, str]:
    return lambda text: _number(text, most), f"a whole number from 1 to {most}"


def _is_size(text: str) -> bool:
    return _number(re.sub("[kKmM]$", "", text), 1048576)


def _is_duration(text: str) -> bool:
    return _number(re.sub("(ms|s|m)$", "", text), 86400)


def _is_network(text: str) -> bool:
    try:
        ip_network(text, strict=False)
    except ValueError:
        return False
    return not re.search("/.*[^0-9]", text)


def _are_networks(text: str) -> bool:
    return all(map(_is_network, text.replace(",", " ").split()))


RULES: Mapping[str, tuple[Rule, str]] = {
    "NGINX_REQUESTS_PER_SECOND": _whole(1_000_000),
    "NGINX_BURST": _whole(1_000_000),
    "NGINX_CONNECTIONS": _whole(65535),
    "NGINX_POLLING": _whole(65535),
    "NGINX_LARGE_BODIES": _whole(65535),
    "NGINX_LARGE_BODIES_OF_CLIENT": _whole(65535),
    "NGINX_MAX_BODY": (_is_size, "a size such as 1m or 512k"),
    "NGINX_READ_TIMEOUT": (_is_duration, "a time such as 45s or 500ms"),
    "NGINX_API_SCHEME": (lambda text: text in ("http", "https"), "http or https"),
    "NGINX_TRUSTED_PROXIES": (
        _are_networks,
        "addresses and networks, such as 10.0.0.0/8,192.0.2.7",
    ),
    "NGINX_SHARED_NETWORK": (
        _is_network,
        "one network, such as 172.30.81.1/32; 0.0.0.0/32 for none",
    ),
}


def check(settings: Mapping[str, str]) -> None:
    """Raises ProcessFailed, with every fault."""
    faults = [
        f"\n  {name}: write {words}"
        for name, (accepts, words) in RULES.items()
        if not accepts(settings.get(name, ""))
    ]
    if faults:
        raise ProcessFailed(f"The gateway's settings are invalid:{''.join(faults)}")
