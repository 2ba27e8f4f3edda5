"""How idempotency keys wait for a Redis, or leave it, without one."""

import asyncio
import socket
from typing import Any

import pytest
from redis.asyncio import BlockingConnectionPool
from redis.exceptions import ReadOnlyError, RedisError, ResponseError

from app.core.exceptions import KeyStoreUnavailable
from app.infrastructure.redis import client as clients
from app.infrastructure.redis import key_store as module
from app.infrastructure.redis.client import connect_blocking, connect_redis
from app.infrastructure.redis.key_store import KeyStore

SENTINELS = "sentinel://127.0.0.1:1/0?master_name=keys"
LOST = OSError("it is away")
FULL = ResponseError("OOM command not allowed when used memory > 'maxmemory'.")


@pytest.mark.parametrize(
    ("url", "ask", "error", "asked"),
    [
        (SENTINELS, "claim", LOST, 2),  # another primary answers soon
        (SENTINELS, "claim", FULL, 1),
        (SENTINELS, "check", LOST, 1),  # a probe has its own time limit
        ("redis://127.0.0.1:1/0", "claim", LOST, 1),
    ],
)
async def test_only_a_request_waits_and_only_for_another_primary(
    monkeypatch: pytest.MonkeyPatch, url: str, ask: str, error: Exception, asked: int
) -> None:
    questions: list[Any] = []

    async def answer(question: Any, *_: Any) -> None:
        question.close()
        questions.append(question)
        if len(questions) == 1:
            raise error

    monkeypatch.setattr(module, "ask", answer)
    monkeypatch.setattr(module, "PAUSE", 0.0)
    store = KeyStore(url, lease=30, keep=60)
    given = ("key", "f") if ask == "claim" else ()
    try:
        await getattr(store, ask)(*given)
        is_lost = False
    except KeyStoreUnavailable:
        is_lost = True
    await store.close()
    assert len(questions) == asked and is_lost is (asked == 1)


@pytest.mark.parametrize("url", [SENTINELS, "redis://127.0.0.1:1/0"])
async def test_a_command_that_met_a_replica_runs_again(url: str) -> None:
    """On a new connection, which leads to the primary."""
    pool: Any = connect_redis(url, 1).connection_pool
    retry = pool.make_connection().retry
    attempts: list[str] = []

    async def meet_a_replica() -> str:
        attempts.append("sent")
        if len(attempts) == 1:
            raise ReadOnlyError("READONLY")
        return "done"

    async def leave(_: Exception) -> None:
        attempts.append("left")

    assert await retry.call_with_retry(meet_a_replica, leave) == "done"
    assert attempts == ["sent", "left", "sent"]


async def test_no_connection_to_a_sentinel_stays_open(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    client, closed = connect_redis(SENTINELS, 1), list[str]()
    pool: Any = client.connection_pool

    async def close() -> None:
        closed.append("sentinels")

    monkeypatch.setattr(pool.sentinel_manager, "aclose", close)
    await client.aclose()
    assert closed == ["sentinels"]


async def test_a_sentinel_that_takes_no_connection_is_left_soon(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Others may answer, and a request waits."""

    async def hang(*_: Any, **__: Any) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(asyncio, "open_connection", hang)
    monkeypatch.setattr(clients, "SENTINEL_TIMEOUT", 0.01)
    client = connect_redis(SENTINELS, 1)
    async with asyncio.timeout(2):
        with pytest.raises(RedisError):
            await client.ping()
    await client.aclose()


async def test_a_sentinel_that_says_nothing_is_left_soon(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def listen(reader: asyncio.StreamReader, writer: Any) -> None:
        await reader.read()
        writer.close()

    monkeypatch.setattr(clients, "SENTINEL_TIMEOUT", 0.01)
    async with await asyncio.start_server(listen, "127.0.0.1", 0) as server:
        host, port = server.sockets[0].getsockname()
        client = connect_redis(f"sentinel://{host}:{port}/0?master_name=keys", 1)
        async with asyncio.timeout(2):
            with pytest.raises(RedisError):
                await client.ping()
        await client.aclose()


def test_threads_leave_it_as_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float | None] = []

    def connect(opened: socket.socket, _: object) -> None:
        waits.append(opened.gettimeout())
        raise TimeoutError

    monkeypatch.setattr(socket.socket, "connect", connect)
    with pytest.raises(RedisError):
        connect_blocking(SENTINELS, 60).ping()
    assert {*waits} == {clients.SENTINEL_TIMEOUT}


@pytest.mark.parametrize(
    "place", ["unix:///run/redis.sock?db=1", "redis://127.0.0.1/1", SENTINELS]
)
async def test_every_kind_of_place_has_the_login_and_waits_for_a_connection(
    place: str,
) -> None:
    login: Any = object()
    async with connect_redis(place, 7, login) as redis:
        pool = redis.connection_pool
        assert pool.max_connections == 7 and isinstance(pool, BlockingConnectionPool)
        assert pool.connection_kwargs["credential_provider"] is login
