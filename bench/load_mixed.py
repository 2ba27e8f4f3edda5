"""A mix of requests: `python -m bench.load_mixed URL CONNECTIONS SECONDS RATE`.

Of ten requests, eight have something done at once, one later, and one reads. RATE is
in requests a second over all connections; 0 is as fast as answers come.
"""

import asyncio
import itertools
import sys
import time
from urllib.parse import urlsplit

import uvloop

from bench.figures import Load
from bench.load_asyncio import BODY, HEAD, Connection

DATA = "/api/v1/data"
MIX = ["/process"] * 8 + ["/process-async"] + [""]


def requests(host: str) -> list[bytes]:
    """The requests of MIX, as bytes."""
    read = f"GET /api/v1/database/records?limit=10 HTTP/1.1\r\nHost: {host}\r\n\r\n"

    def post(path: str) -> bytes:
        head = HEAD.format(path=f"{DATA}{path}", host=host)
        return f"{head}Content-Length: {len(BODY)}\r\n\r\n".encode() + BODY

    return [post(path) if path else read.encode() for path in MIX]


async def ask(url: str, connections: int, seconds: float, rate: float) -> Load:
    """Send one request after another on each connection, at their times."""
    parts = urlsplit(url)
    latencies: list[float] = []
    failed = 0
    began = time.perf_counter()
    pause = connections / rate if rate else 0.0

    async def talk(number: int) -> None:
        nonlocal failed
        connection = Connection(url)
        due = began + pause * number / connections
        mix = itertools.cycle(requests(parts.netloc))
        for request in itertools.islice(mix, number % len(MIX), None):
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            due += pause
            if (sent := time.perf_counter()) > began + seconds:
                break
            failed += await connection.ask(request) >= 400
            latencies.append(time.perf_counter() - sent)
        connection.close()

    await asyncio.gather(*(talk(number) for number in range(connections)))
    return Load.of(latencies, time.perf_counter() - began, failed)


if __name__ == "__main__":
    target, connections, seconds, rate = sys.argv[1:]
    load = ask(target, int(connections), float(seconds), float(rate))
    print(uvloop.run(load).to_json())
