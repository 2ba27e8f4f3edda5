"""HTTP load by raw sockets: `python -m bench.load_asyncio URL CONNECTIONS SECONDS`.

It uses more CPU than wrk, so all contenders look slower than they are.
"""

import asyncio
import sys
import time
from urllib.parse import urlsplit

import uvloop

from bench.figures import Load

BODY = b'{"payload":"hello world","description":"uppercase"}'
HEAD = "POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n"


class Connection:
    """Sends one request after another. Opens a new connection when the server has
    closed the old one: nginx does so after a thousand requests."""

    def __init__(self, url: str) -> None:
        self._address = urlsplit(url)
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self, request: bytes) -> int:
        """Return the status of the answer, and read the body by its Content-Length."""
        if self._streams is None:
            host, port = self._address.hostname, self._address.port
            self._streams = await asyncio.open_connection(host, port)
        reader, writer = self._streams
        writer.write(request)
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        length = head.partition(b"content-length:")[2].partition(b"\r\n")[0]
        await reader.readexactly(int(length))
        if b"connection: close" in head:
            self.close()
        return int(head.split(b" ", 2)[1])

    def close(self) -> None:
        """Close the connection, if there is one."""
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None


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
        connection = Connection(url)
        while (sent := time.perf_counter()) < began + seconds:
            failed += await connection.ask(request) >= 400
            latencies.append(time.perf_counter() - sent)
        connection.close()

    await asyncio.gather(*(talk() for _ in range(connections)))
    return Load.of(latencies, time.perf_counter() - began, failed)


if __name__ == "__main__":
    target, connections, seconds = sys.argv[1:]
    print(uvloop.run(post(target, int(connections), float(seconds))).to_json())
