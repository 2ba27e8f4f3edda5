"""Large answers: sent in pieces, and counted until the client has read them."""

import asyncio
from collections.abc import Iterator

from starlette.datastructures import Headers
from starlette.types import Message, Send

# As much as a transport buffers before it makes the sender wait.
PIECE = 64 * 1024
# Seconds a client has to read a large answer.
PATIENCE = 60.0


def announced_length(start: Message) -> int:
    """The announced size of an answer in bytes; 0 if it is streamed."""
    length = Headers(raw=start["headers"]).get("content-length", "")
    return int(length) if length.isdigit() else 0


async def send_pieces(send: Send, message: Message) -> bool:
    """Send a body; False if the client did not read it in time."""
    body: bytes = message.get("body", b"")
    if len(body) <= PIECE:
        await send(message)
        return True
    try:
        async with asyncio.timeout(PATIENCE):
            for piece in _pieces(body, message.get("more_body", False)):
                await send(piece)
    except TimeoutError:
        return False
    return True


def _pieces(body: bytes, more: bool) -> Iterator[Message]:
    view = memoryview(body)
    for begin in range(0, len(body), PIECE):
        is_last = begin + PIECE >= len(body)
        yield {
            "type": "http.response.body",
            "body": bytes(view[begin : begin + PIECE]),
            "more_body": more or not is_last,
        }
