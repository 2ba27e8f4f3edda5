"""Clients that listen to events all the time. They leave at random and come back, as
browsers do, and record the sequence of each event that they saw."""

import asyncio
import json
import random
import threading
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, WebSocketException

from tests.e2e.threads import Threads

STREAM = "/api/v1/events/stream"
WEBSOCKET = "/api/v1/events/ws"

SSE, WEBSOCKETS = 50, 6
STAY = (2.0, 9.0)  # seconds of one connection
AWAY = (0.1, 1.5)  # seconds between two
OPENING = 10.0  # seconds for a connection and its first bytes
CONTRACT = {429, 502, 503, 504}  # come back later
LONGEST = 1024 * 1024  # bytes of an event


@dataclass
class Listener:
    """One client. `start` is the sequence after which it sees all events."""

    name: str
    start: int | None = None
    seen: list[int] = field(default_factory=list)
    breaches: list[str] = field(default_factory=list)

    @property
    def position(self) -> int | None:
        """Where it goes on; None if it was never told."""
        return self.seen[-1] if self.seen else self.start


class Streams(Threads):
    """Listen from entry to exit, in one thread."""

    def __init__(
        self, url: str, seed: int, sse: int = SSE, websockets: int = WEBSOCKETS
    ) -> None:
        super().__init__()
        self._url = urlsplit(url)
        self._seed = seed
        self.connections = 0
        # A WebSocket does not say where it begins.
        self.listeners = [Listener(f"SSE {number}") for number in range(sse)]
        self.listeners += [
            Listener(f"WebSocket {n}", start=0) for n in range(websockets)
        ]
        self._threads = [threading.Thread(target=lambda: asyncio.run(self._all()))]

    def have(self, sequence: int) -> bool:
        """Whether every client has seen everything up to there."""
        return all((each.position or 0) >= sequence for each in self.listeners)

    @property
    def breaches(self) -> list[str]:
        """What no client may see."""
        return [
            f"{each.name}: {what}" for each in self.listeners for what in each.breaches
        ]

    async def _all(self) -> None:
        tasks = [
            asyncio.create_task(self._keep(listener, random.Random(self._seed + n)))
            for n, listener in enumerate(self.listeners)
        ]
        await asyncio.to_thread(self._stopped.wait)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _keep(self, listener: Listener, chance: random.Random) -> None:
        listen = self._websocket if listener.name.startswith("Web") else self._sse
        while True:
            try:
                async with asyncio.timeout(chance.uniform(*STAY)):
                    await listen(listener, chance)
            except (TimeoutError, OSError, EOFError, WebSocketException):
                pass  # it left, or the connection broke: there is no difference
            except Exception as error:
                listener.breaches.append(repr(error))
            await asyncio.sleep(chance.uniform(*AWAY))

    async def _sse(self, listener: Listener, chance: random.Random) -> None:
        host, port = self._url.hostname, self._url.port
        reader, writer = await asyncio.open_connection(host, port, limit=LONGEST)
        try:
            writer.write(self._request(listener.position, chance.random() < 0.5))
            head = await reader.readuntil(b"\r\n\r\n")
            status = int(head.split(b" ", 2)[1])
            if status == 200:
                self.connections += 1
                while True:
                    take_block(listener, (await reader.readuntil(b"\n\n")).decode())
            if status not in CONTRACT:
                listener.breaches.append(f"answered {status}")
        finally:
            writer.close()

    def _request(self, position: int | None, by_header: bool) -> bytes:
        """With HTTP/1.0, the answer is not in chunks."""
        query = header = ""
        if position is not None:
            query = "" if by_header else f"?after={position}"
            header = f"Last-Event-ID: {position}\r\n" if by_header else ""
        host = f"Host: {self._url.netloc}\r\n"
        return f"GET {STREAM}{query} HTTP/1.0\r\n{host}{header}\r\n".encode()

    async def _websocket(self, listener: Listener, _: random.Random) -> None:
        url = f"ws://{self._url.netloc}{WEBSOCKET}?after={listener.position}"
        async with connect(url, open_timeout=OPENING, close_timeout=1) as socket:
            self.connections += 1
            try:
                async for message in socket:
                    listener.seen.append(int(json.loads(message)["sequence"]))
            except ConnectionClosed:
                pass


def take_block(listener: Listener, block: str) -> None:
    """Note what one block of a stream says: an event, or where the stream begins."""
    fields = dict(
        _field(line) for line in block.splitlines() if line and line[0] != ":"
    )
    if "id" not in fields:
        return  # a sign of life, or why the stream ends
    sequence = int(fields["id"])
    if "data" in fields:
        if f'"{sequence}"' not in fields["data"]:
            listener.breaches.append(f"{sequence} has the data of another event")
        listener.seen.append(sequence)
    elif listener.start is None:
        listener.start = sequence
    elif sequence != listener.position:
        listener.breaches.append(f"resumed at {sequence}, not {listener.position}")


def _field(line: str) -> tuple[str, str]:
    name, _, value = line.partition(": ")
    return name, value
