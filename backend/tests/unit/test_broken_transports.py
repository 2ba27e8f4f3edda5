"""A write to a connection that has just broken means an outage, not a bug."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
import uvloop

from app.core.database_errors import translate_errors
from app.core.exceptions import DatabaseUnavailable
from app.infrastructure.redis.client import ask
from chassis.outages import Outage


async def write_to_broken_connection() -> None:
    async def serve(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        await reader.read()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        address = server.sockets[0].getsockname()
        _, writer = await asyncio.open_connection(*address)
        writer.transport.abort()
        for _ in range(2):  # uvloop closes it in the next turn of the loop
            writer.write(b"x")
            await asyncio.sleep(0)


async def ask_redis() -> None:
    await ask(write_to_broken_connection(), 5, Outage("Redis"))


async def ask_database() -> None:
    with translate_errors():
        await write_to_broken_connection()


@pytest.mark.parametrize(
    "call, meaning", [(ask_redis, OSError), (ask_database, DatabaseUnavailable)]
)
def test_a_broken_connection_is_an_outage(
    call: Callable[[], Awaitable[None]], meaning: type[Exception]
) -> None:
    async def run() -> None:
        await call()

    with pytest.raises(meaning):
        uvloop.run(run())


async def test_other_runtime_errors_stay_bugs() -> None:
    async def fail() -> None:
        raise RuntimeError("a bug")

    with pytest.raises(RuntimeError, match="a bug"):
        await ask(fail(), 5, Outage("Redis"))
    with pytest.raises(RuntimeError, match="a bug"), translate_errors():
        await fail()


async def test_an_outage_of_redis_is_logged_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Requests may go on without it: the log is where an operator sees it."""

    async def fail() -> None:
        raise OSError("it is away")

    outage = Outage("Redis")
    for _ in range(2):
        with pytest.raises(OSError):
            await ask(fail(), 5, outage)
    assert len(caplog.messages) == 1 and "it is away" in caplog.text
