"""What KEDA, probes and policies need to know of a Redis, from its URL.

    python3 -m deploy.redis_parts <redis.url

A line for each: user, password, address (for Sentinels all of theirs, with commas), tls
(enable or disable), database, port of Redis itself, all ports that pods must reach,
whether certificates are not verified (true or false); for Sentinels the name that they
watch, their user and password. The URL is read as the backend reads it.
"""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1] / "packages" / "chassis" / "src"))

from chassis.redis_url import PORT, RedisUrl  # noqa: E402


def parts(url: str) -> list[str]:
    """The lines. Raises ValueError for what cannot work in a cluster."""
    place = RedisUrl.read(url)
    if place.socket:
        raise ValueError("is a socket, which no pod can reach: name a host")
    # Behind Sentinels, Redis most likely has its usual port.
    port = PORT if place.master_name else place.hosts[0][1]
    tls = place.tls or {}
    return [
        place.username or "",
        place.password or "",
        ",".join(_address(host, port) for host, port in place.hosts),
        "disable" if place.tls is None else "enable",
        str(place.database),
        str(port),
        " ".join(str(each) for each in sorted({port, *(p for _, p in place.hosts)})),
        str(tls.get("ssl_cert_reqs") == "none").lower(),
        place.master_name or "",
        place.sentinel_login.get("username", ""),
        place.sentinel_login.get("password", ""),
    ]


def _address(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


if __name__ == "__main__":
    try:
        print(*parts(sys.stdin.read().strip()), sep="\n")
    except ValueError as error:
        sys.exit(f"error: the URL of Redis {error}")
