"""Streams of events as they go to clients: server-sent events (HTML Living Standard,
9.2) and WebSocket (CloudEvents' binding to it)."""

import asyncio
import logging
import random
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

from fastapi.sse import KEEPALIVE_COMMENT, format_sse_event
from starlette.responses import StreamingResponse
from starlette.types import Send
from starlette.websockets import WebSocket, WebSocketDisconnect

from app.core.browser_settings import normal_origin
from app.core.exceptions import CrossSite
from app.services.event_stream import Closing, EventStream, FeedEvent
from chassis import json_text

logger = logging.getLogger(__name__)

MEDIA_TYPE = "text/event-stream"
# Seconds between two signs of life.
PING = 15.0
# Seconds that a client has to read an event.
PATIENCE = 10.0

# The longest message that a client may send over a WebSocket.
MAX_MESSAGE_BYTES = 4 * 1024

# How soon a browser comes back when a connection breaks; by itself, after 3 s or more.
FIRST_RETRY, LAST_RETRY = 500, 2000

#: CloudEvents' name for one JSON event in each message.
SUBPROTOCOL = "cloudevents.json"
#: WebSocket's close codes (RFC 6455, 7.4.1, and its registry).
CLOSE_CODES = {"ended": 1000, "slow_client": 1013}
COME_AGAIN = 1012


class EventStreamResponse(StreamingResponse):
    """A stream as server-sent events.

    FastAPI's own needs three tasks for each stream, and encodes each event for each of
    them.
    """

    media_type = MEDIA_TYPE

    def __init__(self, stream: EventStream, status_code: int = 200) -> None:
        super().__init__(
            server_sent(stream),
            status_code,
            headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
        )

    async def stream_response(self, send: Send) -> None:
        """Send until the end, or until the client does not read."""

        async def send_in_time(message: dict[str, object]) -> None:
            async with asyncio.timeout(PATIENCE):
                await send(message)

        try:
            await super().stream_response(send_in_time)  # type: ignore[arg-type]
        except TimeoutError:
            logger.info("A client reads no events: its stream ends")


async def server_sent(stream: EventStream) -> AsyncIterator[bytes]:
    """The stream's bytes. It begins with a position, so that a client that has seen no
    event yet also goes on from there."""
    retry = random.randint(FIRST_RETRY, LAST_RETRY)  # nosec: jitter
    yield format_sse_event(id=str(stream.position), retry=retry)
    while event := await _next_or_ping(stream):
        yield _as_sent(event)
    closing = stream.closing
    if closing and closing.retry_seconds is not None:
        retry = round(closing.retry_seconds * 1000)
        text = json_text.dumps({"code": closing.code, "detail": closing.detail})
        yield format_sse_event(event="stream.closed", data_str=text, retry=retry)


async def _next_or_ping(stream: EventStream) -> FeedEvent | bytes | None:
    event = await stream.next(PING)
    if event is None and stream.closing is None:
        return KEEPALIVE_COMMENT
    return event


def _as_sent(event: FeedEvent | bytes) -> bytes:
    """All streams share one copy."""
    if isinstance(event, bytes):
        return event
    if event.encoded is None:
        event.encoded = format_sse_event(
            id=str(event.sequence), event=event.type, data_str=event.text
        )
    return event.encoded


async def serve_websocket(websocket: WebSocket, stream: EventStream | None) -> None:
    """Accept, and send until one side ends it. What the client sends is ignored; pings
    and the longest message are uvicorn's (``main.py``)."""
    offered = SUBPROTOCOL in websocket.scope["subprotocols"]
    await websocket.accept(SUBPROTOCOL if offered else None)
    if stream is None:
        await websocket.close(CLOSE_CODES["ended"], "ended")
        return
    sending = asyncio.create_task(_send_all(websocket, stream))
    reading = asyncio.create_task(_ignore_messages(websocket))
    try:
        await asyncio.wait((sending, reading), return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in (sending, reading):
            task.cancel()
        ended = await asyncio.gather(sending, reading, return_exceptions=True)
    for each in ended:
        if isinstance(each, Exception):
            raise each  # a bug: the log must show it


async def _ignore_messages(websocket: WebSocket) -> None:
    while (await websocket.receive())["type"] != "websocket.disconnect":
        pass


async def _send_all(websocket: WebSocket, stream: EventStream) -> None:
    try:
        while stream.closing is None:
            if event := await stream.next(PING):
                async with asyncio.timeout(PATIENCE):
                    await websocket.send_text(event.text)
        async with asyncio.timeout(PATIENCE):
            await _close(websocket, stream.closing)
    except TimeoutError:
        logger.info("A client reads no events: its WebSocket ends")
    except WebSocketDisconnect:
        pass


async def _close(websocket: WebSocket, closing: Closing) -> None:
    """The reason is JSON: its ``retry`` is in milliseconds, as that of server-sent
    events."""
    reason: dict[str, object] = {"code": closing.code}
    if closing.retry_seconds is not None:
        reason["retry"] = round(closing.retry_seconds * 1000)
    code = CLOSE_CODES.get(closing.code, COME_AGAIN)
    await websocket.close(code, json_text.dumps(reason))


async def check_origin(websocket: WebSocket) -> None:
    """A browser opens a WebSocket for pages of any site: CORS does not apply.

    Raises:
        CrossSite: neither does CORS_ORIGINS name the page's origin, nor is the page
            of this host.
    """
    given = websocket.headers.get("origin")
    if given is None:
        return
    origin = normal_origin(given) or given
    allowed = websocket.app.state.settings.cors.origins
    if origin in allowed or "*" in allowed:
        return
    if urlsplit(given).netloc.lower() == websocket.headers.get("host", "").lower():
        return
    raise CrossSite("CORS_ORIGINS does not list the origin of this page.")
