"""Clients of the event stream: `python -m bench.listen URL CLIENTS SECONDS`.

A latency is the time from an event's own time, which PostgreSQL takes in the
transaction of the change, until a client has read the event. Both clocks are of this
machine.
"""

import asyncio
import json
import sys
import time
from datetime import datetime
from urllib.parse import urlsplit

import uvloop

from bench.figures import Load

STREAM = "/api/v1/events/stream"
LONGEST = 1024 * 1024  # bytes of an event


async def listen(url: str, clients: int, seconds: float) -> Load:
    """Listen with all clients at once, from now on."""
    latencies: list[float] = []
    began = time.perf_counter()

    async def read() -> None:
        reader, writer = await _open(url)
        try:
            async with asyncio.timeout(seconds):
                while True:
                    block = await reader.readuntil(b"\n\n")
                    now = time.time()
                    if b"\ndata: " in block:
                        latencies.append(now - _time_of(block))
        except TimeoutError:
            writer.close()

    await asyncio.gather(*(read() for _ in range(clients)))
    return Load.of(latencies, time.perf_counter() - began)


async def _open(url: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    parts = urlsplit(url)
    reader, writer = await asyncio.open_connection(
        parts.hostname, parts.port, limit=LONGEST
    )
    # With HTTP/1.0, the answer is not in chunks.
    writer.write(f"GET {STREAM} HTTP/1.0\r\nHost: {parts.netloc}\r\n\r\n".encode())
    head = await reader.readuntil(b"\r\n\r\n")
    if b" 200 " not in head.partition(b"\r\n")[0]:
        raise SystemExit(head.decode())
    return reader, writer


def _time_of(block: bytes) -> float:
    """When the event happened, in seconds since 1970."""
    data = block.partition(b"\ndata: ")[2].partition(b"\n")[0]
    return datetime.fromisoformat(json.loads(data)["time"]).timestamp()


if __name__ == "__main__":
    target, number, duration = sys.argv[1:]
    print(uvloop.run(listen(target, int(number), float(duration))).to_json())
