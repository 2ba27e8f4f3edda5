"""HTTP as raw bytes: a client that does what no library would."""

import asyncio
import socket
from collections.abc import Mapping
from typing import Self

HOST = "127.0.0.1"


def request(
    method: str,
    path: str,
    body: bytes = b"",
    headers: Mapping[str, str] | None = None,
) -> bytes:
    """The bytes of a whole request."""
    lines = [
        f"{method} {path} HTTP/1.1",
        f"Host: {HOST}",
        *(f"{name}: {value}" for name, value in (headers or {}).items()),
    ]
    if body:
        lines += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
    return "\r\n".join([*lines, "", ""]).encode() + body


class Connection:
    """A connection to the gateway, from its own address."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._reader, self._writer = reader, writer

    @classmethod
    async def open(cls, port: int, source: str, receive_buffer: int = 0) -> Self:
        """Connect. Raises OSError."""
        sock = socket.socket()
        sock.setblocking(False)
        if receive_buffer:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        try:
            sock.bind((source, 0))
            await asyncio.get_running_loop().sock_connect(sock, (HOST, port))
        except BaseException:
            sock.close()
            raise
        limit = receive_buffer or 64 * 1024
        return cls(*await asyncio.open_connection(sock=sock, limit=limit))

    async def send(self, data: bytes) -> None:
        """Send bytes. Raises OSError."""
        self._writer.write(data)
        await self._writer.drain()

    async def read(self, most: int) -> bytes:
        """Read some bytes; empty at the end."""
        return await self._reader.read(most)

    async def answer(self) -> tuple[int, bytes]:
        """Status and body. Raises OSError, EOFError or ValueError."""
        head = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        status, *lines = head.split("\r\n")
        fields = dict(line.lower().split(": ", 1) for line in lines if ": " in line)
        length = int(fields.get("content-length", 0))
        body = await self._reader.readexactly(length)
        return int(status.split(" ")[1]), body

    def close(self) -> None:
        """Close without a farewell."""
        self._writer.transport.abort()


open_connection = Connection.open
