"""What a client sees of its stream, without a feed behind it."""

import asyncio
import json
from collections.abc import Iterable
from types import SimpleNamespace
from typing import Any

import pytest
from starlette.websockets import WebSocketDisconnect

from app.api import event_streams
from app.api.event_streams import (
    EventStreamResponse,
    check_origin,
    serve_websocket,
    server_sent,
)
from app.core.exceptions import CrossSite
from app.services.event_stream import Closing, FeedEvent

SLOW = Closing("slow_client", "Read faster.", 1.5)


class Stream:
    """Has some events, and ends."""

    position = 4
    closing: Closing | None = None

    def __init__(self, *events: FeedEvent, closing: Closing = SLOW) -> None:
        self._events = list(events)
        self._last = closing

    async def next(self, seconds: float) -> FeedEvent | None:
        if self._events:
            return self._events.pop(0)
        self.closing = self._last
        return None


class Socket:
    """A WebSocket; its client says nothing."""

    def __init__(self, offered: Iterable[str] = (), *, reads: bool = True) -> None:
        self.scope = {"subprotocols": list(offered)}
        self.reads = reads
        self.accepted: list[str | None] = []
        self.sent: list[str] = []
        self.closed: list[Any] = []

    async def accept(self, subprotocol: str | None) -> None:
        self.accepted.append(subprotocol)

    async def receive(self) -> Any:
        await asyncio.Event().wait()

    async def send_text(self, text: str) -> None:
        if not self.reads:
            await asyncio.Event().wait()
        self.sent.append(text)

    async def close(self, code: int, reason: str) -> None:
        self.closed.append((code, json.loads(reason)))


def event(sequence: int = 5) -> FeedEvent:
    return FeedEvent(sequence, "a.b", "it", None, f'{{"n":{sequence}}}')


def test_no_cache_and_no_proxy_holds_events_back() -> None:
    stream: Any = Stream()
    headers = EventStreamResponse(stream).headers
    assert headers["cache-control"] == "no-store"
    assert headers["x-accel-buffering"] == "no"


async def test_a_stream_begins_with_its_position_and_says_when_to_return() -> None:
    shared = event()
    for _ in range(2):
        stream: Any = Stream(shared)
        first, second, last = [part async for part in server_sent(stream)]
        assert b"id: 4\n" in first and b"retry: " in first
        assert second is shared.encoded and b"id: 5\n" in second
        assert b"event: stream.closed\n" in last and b"retry: 1500\n" in last
        assert b'"code":"slow_client"' in last


async def test_a_sign_of_life_is_no_event() -> None:
    """An empty `data:` would be one: EventSource calls its listener."""
    stream: Any = Stream(event())
    events, pauses = stream.next, iter([True, False])

    async def next_or_pause(seconds: float) -> FeedEvent | None:
        return None if next(pauses, False) else await events(seconds)

    stream.next = next_or_pause
    _, pause, *_ = [part async for part in server_sent(stream)]
    assert pause.startswith(b":")


async def test_a_client_that_does_not_read_holds_no_response(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(event_streams, "PATIENCE", 0.01)

    async def hang(_: Any) -> None:
        await asyncio.Event().wait()

    stream: Any = Stream(event())
    async with asyncio.timeout(5):
        await EventStreamResponse(stream).stream_response(hang)


@pytest.mark.parametrize(
    ("closing", "code", "reason"),
    [
        (SLOW, 1013, {"code": "slow_client", "retry": 1500}),
        (Closing("time_limit", "", 0.1), 1012, {"code": "time_limit", "retry": 100}),
        (Closing("ended", ""), 1000, {"code": "ended"}),
    ],
)
async def test_a_websocket_says_why_it_closes(
    closing: Closing, code: int, reason: dict[str, Any]
) -> None:
    socket: Any = Socket()
    stream: Any = Stream(event(), closing=closing)
    await serve_websocket(socket, stream)
    assert socket.sent == ['{"n":5}'] and socket.closed == [(code, reason)]


async def test_a_client_that_does_not_read_holds_no_websocket(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(event_streams, "PATIENCE", 0.01)
    socket: Any = Socket(reads=False)
    stream: Any = Stream(event())
    others = asyncio.all_tasks()
    async with asyncio.timeout(5):
        await serve_websocket(socket, stream)
    assert asyncio.all_tasks() == others


async def test_a_client_that_leaves_is_no_error() -> None:
    socket: Any = Socket()
    stream: Any = Stream(event())

    async def send_text(_: str) -> None:
        raise WebSocketDisconnect(1006)

    socket.send_text = send_text
    await serve_websocket(socket, stream)
    assert socket.closed == []


async def test_a_bug_while_sending_is_not_hidden() -> None:
    socket: Any = Socket()
    stream: Any = Stream(event())

    async def send_text(_: str) -> None:
        raise KeyError("a bug")

    socket.send_text = send_text
    with pytest.raises(KeyError):
        await serve_websocket(socket, stream)


@pytest.mark.parametrize(
    ("offered", "accepted"),
    [
        (["cloudevents.json", "bearer.x"], "cloudevents.json"),
        (["bearer.x"], None),
        ([], None),
    ],
)
async def test_only_what_the_client_offers_is_accepted(
    offered: list[str], accepted: str | None
) -> None:
    socket: Any = Socket(offered)
    stream: Any = Stream()
    await serve_websocket(socket, stream)
    assert socket.accepted == [accepted]


@pytest.mark.parametrize(
    ("origin", "origins", "is_allowed"),
    [
        (None, [], True),
        ("https://API.example", [], True),
        ("https://app.example", ["https://app.example"], True),
        ("https://app.example:443", ["https://app.example"], True),
        ("https://other.example", ["*"], True),
        ("https://other.example", ["https://app.example"], False),
        ("https://api.example.evil", [], False),
        ("https://api.example:8443", [], False),
        ("null", [], False),
    ],
)
async def test_pages_of_other_sites(
    origin: str | None, origins: list[str], is_allowed: bool
) -> None:
    headers = {"host": "api.EXAMPLE"} | ({"origin": origin} if origin else {})
    cors = SimpleNamespace(origins=origins)
    state = SimpleNamespace(settings=SimpleNamespace(cors=cors))
    socket: Any = SimpleNamespace(headers=headers, app=SimpleNamespace(state=state))
    if is_allowed:
        await check_origin(socket)
    else:
        with pytest.raises(CrossSite):
            await check_origin(socket)
