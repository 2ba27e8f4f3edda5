"""The load generator for machines without wrk."""

import asyncio

from bench.load_asyncio import post

ANSWER = b"HTTP/1.1 %d X\r\nContent-Length: 2\r\n%s\r\n{}"
REQUESTS_OF_A_CONNECTION = 3


async def test_it_continues_after_the_server_closes_a_connection() -> None:
    connections = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        for left in reversed(range(REQUESTS_OF_A_CONNECTION)):
            await reader.readuntil(b"}")
            writer.write(ANSWER % (200, b"" if left else b"Connection: close\r\n"))
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1")
    async with server:
        port = server.sockets[0].getsockname()[1]
        load = await post(f"http://127.0.0.1:{port}/x", 1, 0.2)
    assert load.requests > REQUESTS_OF_A_CONNECTION
    assert connections > 1
    assert load.failed == 0
