"""What uvicorn answers by itself."""

import asyncio
import socket
from collections.abc import AsyncIterator

import pytest
import uvicorn

from app.api.protocol import MAX_HEAD_BYTES, ProblemProtocol
from tests.echo import create_echo_app

MALFORMED = {
    "a method": b"G\0T / HTTP/1.1\r\nHost: x\r\n\r\n",
    "no version": b"GET / x\r\nHost: x\r\n\r\n",
    "another protocol": b"GET / FTP/1.1\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    "a negative length": b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
    "a length in words": b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: ten\r\n\r\n",
    "two lengths": b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n"
    b"Content-Length: 2\r\n\r\nab",
    "a length and chunks": b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "bad chunks": b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nxx",
    "an unknown transfer coding": b"POST / HTTP/1.1\r\nHost: x\r\n"
    b"Transfer-Encoding: rot13\r\n\r\nab",
    "a line without a colon": b"GET / HTTP/1.1\r\nHost: x\r\nbad header\r\n\r\n",
    "a control character": b"GET / HTTP/1.1\r\nHost: x\r\nA: a\0b\r\n\r\n",
    "a space before the colon": b"GET / HTTP/1.1\r\nHost : x\r\n\r\n",
    "two hosts": b"GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n",
    "bytes in the path": b"GET /\xff HTTP/1.1\r\nHost: x\r\n\r\n",
}


@pytest.fixture
async def port() -> AsyncIterator[int]:
    """The API behind uvicorn, as main.py configures it."""
    config = uvicorn.Config(
        create_echo_app(), lifespan="off", http=ProblemProtocol, log_config=None
    )
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = uvicorn.Server(config)
        serving = asyncio.create_task(server.serve([listener]))
        while not server.started:
            await asyncio.sleep(0)
        yield listener.getsockname()[1]
        server.should_exit = True
        await serving


async def exchange(port: int, request: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request)
    answer = await asyncio.wait_for(reader.read(), 10)
    writer.close()
    return answer


async def test_what_uvicorn_cannot_read(port: int) -> None:
    for what, request in MALFORMED.items():
        answer = await exchange(port, request)
        head, _, body = answer.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 400 Bad Request\r\n"), (what, answer)
        assert b"content-type: application/problem+json" in head
        assert b"x-request-id: " in head and b'"malformed_request"' in body


@pytest.mark.budget("protocol.MAX_HEAD_BYTES")
async def test_a_header_without_an_end(port: int) -> None:
    begin = b"GET / HTTP/1.1\r\nHost: x\r\nX-Long: "
    # One byte too much: uvicorn reads all of it, so the answer is not lost in a reset.
    answer = await exchange(port, begin.ljust(MAX_HEAD_BYTES + 1, b"x"))
    assert answer.startswith(b"HTTP/1.1 431 ")
    assert b'"header_too_large"' in answer
