"""What KEDA, probes and policies need to know of a Redis, from its URL.

    python3 -m deploy.redis_parts <redis.url

A line for each: user, password, address, tls (enable or disable), database, port. The
address is empty for Sentinels, which KEDA's trigger redis does not take. The URL is
read as the backend reads it.
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
    host, port = place.hosts[0]
    address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    if place.master_name:
        address, port = "", PORT  # of the Redis behind them, most likely
    tls = "disable" if place.tls is None else "enable"
    login = [place.username or "", place.password or ""]
    return [*login, address, tls, str(place.database), str(port)]


if __name__ == "__main__":
    try:
        print(*parts(sys.stdin.read().strip()), sep="\n")
    except ValueError as error:
        sys.exit(f"error: the URL of Redis {error}")
