"""HTTP load by raw sockets: `python -m bench.load_asyncio URL CONNECTIONS SECONDS`.

It costs more CPU than wrk, so that contenders look slower than they are.
"""

import asyncio
import sys
import time
from urllib.parse import urlsplit

import uvloop

from bench.figures import Load

BODY = b'{"payload":"hello world","description":"uppercase"}'
HEAD = "POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n"


async def post(url: str, connections: int, seconds: float) -> Load:
    """Keep every connection busy until the time is over."""
    parts = urlsplit(url)
    head = HEAD.format(path=parts.path, host=parts.netloc)
    request = f"{head}Content-Length: {len(BODY)}\r\n\r\n".encode() + BODY
    latencies: list[float] = []
    failed = 0
    began = time.perf_counter()

    async def talk() -> None:
        nonlocal failed
        reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
        while (sent := time.perf_counter()) < began + seconds:
            writer.write(request)
            failed += await answered(reader) >= 400
            latencies.append(time.perf_counter() - sent)
        writer.close()

    await asyncio.gather(*(talk() for _ in range(connections)))
    return Load.of(latencies, time.perf_counter() - began, failed)


async def answered(reader: asyncio.StreamReader) -> int:
    """The status of one answer, which has a Content-Length; reads it to its end."""
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    length = head.partition(b"content-length:")[2].partition(b"\r\n")[0]
    await reader.readexactly(int(length))
    return int(head.split(b" ", 2)[1])


if __name__ == "__main__":
    target, connections, seconds = sys.argv[1:]
    print(uvloop.run(post(target, int(connections), float(seconds))).to_json())
