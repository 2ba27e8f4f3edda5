"""The worst requests and clients that the limits let through."""

import asyncio
import json
import secrets
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress

from tests.e2e.client import LOGS, PROCESS, PROCESS_ASYNC, RECORDS
from tests.hostile.connection import Connection, open_connection, request

#: Defaults of MAX_JSON_VALUES and MAX_BODY_BYTES, less what is around a payload.
VALUES, BYTES = 50_000 - 2, 1024 * 1024 - 64
REFUSED_PAUSE = 0.05  # seconds to wait after a refusal

Manner = Callable[["Target", bytes], Awaitable[None]]


class Target:
    """The gateway that one client attacks, and the client's address."""

    def __init__(self, port: int, source: str) -> None:
        self.port, self.source = port, source

    def open(self, **options: int) -> Awaitable[Connection]:
        """A connection to the gateway."""
        return open_connection(self.port, self.source, **options)


def payload(text: str | bytes) -> bytes:
    """The body of a request with that payload."""
    text = text.encode() if isinstance(text, str) else text
    return b'{"payload":' + text + b"}"


def _joined(parts: Iterator[str], most: int) -> str:
    text = ",".join(parts)
    assert len(text) <= most
    return text


def bodies() -> dict[str, bytes]:
    """Bodies, each the worst of its kind."""
    emoji = "\N{GRINNING FACE}"
    nest = "[" * 97 + "]" * 97
    fields = ('{"a":1}' for _ in range(VALUES // 2))
    keys = (f'"{n:015}":0' for n in range(VALUES - 1))
    found = {
        "many values": f"[{_joined(('{}' for _ in range(VALUES - 1)), BYTES)}]",
        "values beyond the limit": "[" + "{}," * (BYTES // 3 - 1) + "{}]",
        "many keys": "{" + _joined(keys, BYTES) + "}",
        "many small fields": f"[{_joined(fields, BYTES)}]",
        "a long string": json.dumps("x" * (BYTES - 2)),
        "a long string of wide characters": f'"{emoji}{"x" * (BYTES - 8)}"',
        "escapes": '"' + "\\u00e9" * ((BYTES - 2) // 6) + '"',
        "numbers of 1,000 digits": "[" + ",".join(["7" * 1000] * (BYTES // 1001)) + "]",
        "numbers of 4,000 digits": "[" + ",".join(["7" * 4000] * (BYTES // 4001)) + "]",
        "nesting": "[" + ",".join([nest] * (VALUES // 98)) + "]",
        "16 KiB of values": "[" + "{}," * 5300 + "{}]",
    }
    return {name: payload(text) for name, text in found.items()}


async def flood(target: Target, body: bytes) -> None:
    """Send one request after another over one connection."""
    await _flood(target, lambda: request("POST", PROCESS, body))


async def keyed(target: Target, body: bytes) -> None:
    """The same, each with a new key."""
    await _flood(
        target,
        lambda: request(
            "POST", PROCESS, body, {"Idempotency-Key": secrets.token_hex()}
        ),
    )


async def deep(target: Target, _: bytes) -> None:
    """The last pages that the API allows."""
    paths = (f"{path}?limit=100&offset=10000" for path in (RECORDS, LOGS))
    pages = [request("GET", p) for p in (*paths, f"{RECORDS}?limit=100")]
    numbers = iter(lambda: secrets.randbelow(len(pages)), -1)
    await _flood(target, lambda: pages[next(numbers)])


async def _flood(target: Target, make: Callable[[], bytes]) -> None:
    connection = await target.open()
    try:
        while True:
            await connection.send(make())
            status, _ = await connection.answer()
            if status >= 400:
                await asyncio.sleep(REFUSED_PAUSE)
    finally:
        connection.close()


async def upload_slowly(target: Target, body: bytes) -> None:
    """Upload a few bytes per second."""
    connection = await target.open()
    try:
        whole = request("POST", PROCESS, body)
        await connection.send(whole[:20_000])
        for byte in whole[20_000:]:
            await connection.send(bytes([byte]))
            await asyncio.sleep(0.5)
    finally:
        connection.close()


async def read_slowly(target: Target, body: bytes) -> None:
    """Request much, and read a few bytes per second."""
    ask = request("GET", f"{RECORDS}?limit=100")
    whole = secrets.choice([request("POST", PROCESS, body), ask])
    connection = await target.open(receive_buffer=4096)
    try:
        await connection.send(whole)
        while await connection.read(256):
            await asyncio.sleep(0.5)
    finally:
        connection.close()


async def park(target: Target, _: bytes) -> None:
    """Submit work, and wait for its end."""
    connection = await target.open()
    try:
        await connection.send(request("POST", PROCESS_ASYNC, payload('"x"')))
        status, answer = await connection.answer()
        if status != 202:
            await asyncio.sleep(REFUSED_PAUSE)
            return
        task_id = json.loads(answer)["task_id"]
        await connection.send(request("GET", f"{PROCESS_ASYNC}/{task_id}?wait=30"))
        await connection.answer()
    finally:
        connection.close()


def attacks() -> dict[str, tuple[Manner, bytes]]:
    """The attacks by name."""
    every = bodies()
    large = every["a long string"]
    return {
        **{name: (flood, body) for name, body in every.items()},
        "slow uploads": (upload_slowly, large),
        "slow readers": (read_slowly, large),
        "parked waiters": (park, b""),
        "large bodies with keys": (keyed, large),
        "deep offsets": (deep, b""),
    }


async def run(port: int, names: list[str], clients: int, seconds: float) -> None:
    """Attack with that many clients, each from its own address, with these attacks in
    turn."""
    known = attacks()
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds), asyncio.TaskGroup() as group:
            for number in range(clients):
                manner, body = known[names[number % len(names)]]
                target = Target(port, f"127.0.0.{10 + number}")
                group.create_task(_again(manner, target, body))


async def _again(manner: Manner, target: Target, body: bytes) -> None:
    while True:
        with suppress(OSError, EOFError, ValueError):
            await manner(target, body)
        await asyncio.sleep(REFUSED_PAUSE)
