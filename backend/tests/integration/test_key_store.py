"""Idempotency keys in a real Redis."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from typing import Any
from uuid import uuid4

import pytest
from redis.asyncio import Connection
from redis.exceptions import ConnectionError as ConnectionLost

from app.core.exceptions import KeyStoreUnavailable
from app.core.keys import Answer, Claim, Held
from app.infrastructure.redis import key_store
from app.infrastructure.redis.key_store import KeyStore
from local.ports import free_port
from local.servers.redis import KeysRedis, Redis
from local.state import State

PAGE = b"x" * 32 * 1024
ANSWER = Answer(200, [("content-type", "application/json")], b'{"a": "\xff\n"}\n')


@pytest.fixture
async def store(redis_server: Redis) -> AsyncIterator[KeyStore]:
    store = KeyStore(redis_server.url(2), lease=30, keep=60)
    yield store
    await store.close()


@pytest.fixture
def key() -> str:
    return uuid4().hex


async def taken(store: KeyStore, key: str, fingerprint: str = "f") -> Claim:
    claim = await store.claim(key, fingerprint)
    assert isinstance(claim, Claim)
    return claim


async def test_only_one_of_many_claims_the_key(store: KeyStore, key: str) -> None:
    found = await asyncio.gather(*(store.claim(key, "f") for _ in range(200)))
    assert sum(isinstance(each, Claim) for each in found) == 1
    assert found.count(Held("f", None)) == 199


@pytest.fixture
def lose_reply(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Lose the next reply of Redis, which has done what it was asked."""
    read, to_lose = Connection.read_response, 0

    async def lose(self: Connection, *args: Any, **options: Any) -> Any:
        nonlocal to_lose
        reply = await read(self, *args, **options)
        if to_lose:
            to_lose -= 1
            await self.disconnect()
            raise ConnectionLost("the reply is lost")
        return reply

    def prepare() -> None:
        nonlocal to_lose
        to_lose = 1

    monkeypatch.setattr(Connection, "read_response", lose)
    return prepare


@pytest.mark.promise(
    "docs/adr/0010-idempotency-fails-closed.md",
    "The API claims a key with a lease before the work, and completes or releases"
    " it afterwards.",
)
async def test_a_lost_reply_changes_nothing(
    store: KeyStore, key: str, lose_reply: Callable[[], None]
) -> None:
    """The command runs again, and must find its own work."""
    await store.release(await taken(store, f"{key} of both scripts"))
    lose_reply()
    claim = await taken(store, key)
    assert await store.claim(key, "f") == Held("f", None)
    lose_reply()
    assert await store.complete(claim, ANSWER)
    assert await store.claim(key, "f") == Held("f", ANSWER)
    other = await taken(store, f"{key} other")
    lose_reply()
    await store.release(other)
    await taken(store, f"{key} other")


ANSWERS = [
    ANSWER,
    Answer(204, [], b""),
    Answer(201, [("location", "/made/1")], None),
    Answer(200, [("location", "/records/1")], None, is_in_record=True),
    Answer(200, [], b"\nclaim 1 {}"),
]


@pytest.mark.parametrize("answer", ANSWERS)
async def test_an_answer_is_returned_unchanged(
    store: KeyStore, key: str, answer: Answer
) -> None:
    assert await store.complete(await taken(store, key), answer)
    assert await store.claim(key, "other") == Held("f", answer)


async def test_a_released_key_is_free(store: KeyStore, key: str) -> None:
    await store.release(await taken(store, key))
    await taken(store, key, "other")


@pytest.mark.budget("IDEMPOTENCY_TTL_SECONDS")
async def test_an_answer_is_one_command_for_a_redis_that_was_never_asked(
    store: KeyStore, key: str, redis_server: Redis
) -> None:
    claim = await taken(store, key)
    with redis_server.connect() as redis:
        redis.script_flush()
        redis.config_resetstat()
        assert await store.complete(claim, Answer(200, [], b"done", False))
        # An unknown script would be a second command, after the client has its answer.
        assert redis.info("errorstats") == {}


async def test_entries_expire(store: KeyStore, key: str, redis_server: Redis) -> None:
    claim = await taken(store, key)
    with redis_server.connect(2) as redis:
        # A claim outlives every answer: see test_answers_are_evicted_before_claims.
        assert 89 < redis.pttl(claim.name) / 1000 <= 90
        await store.complete(claim, ANSWER)
        assert 59 < redis.pttl(claim.name) / 1000 <= 60


async def test_a_request_that_lost_its_key_changes_nothing(
    store: KeyStore, key: str, redis_server: Redis
) -> None:
    late = await taken(store, key)
    with redis_server.connect(2) as redis:
        redis.delete(late.name)  # as when the lease ends
    assert not await store.complete(late, ANSWER)
    owner = await taken(store, key)
    assert not await store.complete(late, ANSWER)
    await store.release(late)
    assert await store.claim(key, "f") == Held("f", None)
    assert await store.complete(owner, ANSWER)
    await store.release(owner)
    assert await store.claim(key, "f") == Held("f", ANSWER)


@pytest.mark.promise(
    "docs/adr/0010-idempotency-fails-closed.md",
    "The API claims a key with a lease before the work, and completes or releases"
    " it afterwards.",
)
async def test_a_lease_ends(redis_server: Redis, key: str) -> None:
    store = KeyStore(redis_server.url(2), lease=0.05, keep=60)
    await taken(store, key)
    async with asyncio.timeout(20):
        while not isinstance(await store.claim(key, "f"), Claim):
            await asyncio.sleep(0.01)
    await store.close()


async def test_a_request_after_its_lease_may_still_store_its_answer(
    redis_server: Redis, key: str
) -> None:
    store = KeyStore(redis_server.url(2), lease=0, keep=60)
    claim = await taken(store, key)
    assert await store.complete(claim, ANSWER)
    assert await store.claim(key, "f") == Held("f", ANSWER)
    await store.close()


@pytest.fixture
async def small(state: State) -> AsyncIterator[KeysRedis]:
    """A Redis with room for a few answers."""
    server = KeysRedis(state, free_port(), maxmemory="2mb", name="small")
    await asyncio.to_thread(server.start)
    yield server
    await asyncio.to_thread(server.kill)


@pytest.mark.promise(
    "docs/adr/0010-idempotency-fails-closed.md",
    "The API refuses a request with an `Idempotency-Key` (503) if Redis does not "
    "answer or is full.",
)
@pytest.mark.budget("redis-keys maxmemory")
async def test_a_full_redis_refuses_and_recovers(small: KeysRedis, key: str) -> None:
    store = KeyStore(small.url(), lease=30, keep=60)
    await taken(store, key)
    with small.full(), pytest.raises(KeyStoreUnavailable, match="is full"):
        await store.claim(f"{key} more", "f")
    claim = await taken(store, key)
    with small.full():
        await store.release(claim)
    await taken(store, key)
    await store.close()


@pytest.mark.promise(
    "docs/adr/0010-idempotency-fails-closed.md", "so no running request loses its key"
)
async def test_answers_are_evicted_before_claims(small: KeysRedis, key: str) -> None:
    """Old answers are evicted first; the key of a request in progress stays."""
    store = KeyStore(small.url(), lease=30, keep=60)
    at_work = [await taken(store, f"{key} at work {n}") for n in range(20)]
    for number in range(200):
        claim = await taken(store, f"{key}{number}")
        assert await store.complete(claim, Answer(200, [], PAGE))

    with small.connect() as redis:
        assert redis.info("stats")["evicted_keys"] > 100
    for number, claim in enumerate(at_work):
        held = await store.claim(f"{key} at work {number}", "f")
        assert held == Held("f", None)
        assert await store.complete(claim, ANSWER)
    assert await store.claim(f"{key}199", "f") == Held("f", Answer(200, [], PAGE))
    await taken(store, f"{key}0")
    await store.close()


async def test_a_restart_of_redis_loses_nothing(
    store: KeyStore, key: str, redis_server: Redis
) -> None:
    claims = [await taken(store, f"{key}{n}") for n in range(5)]
    await asyncio.to_thread(redis_server.restart)
    assert await store.complete(claims[0], ANSWER)
    assert await store.claim(f"{key}0", "f") == Held("f", ANSWER)


@pytest.mark.promise(
    "docs/adr/0010-idempotency-fails-closed.md",
    "The API refuses a request with an `Idempotency-Key` (503) if Redis does not "
    "answer or is full.",
)
@pytest.mark.parametrize("break_it", ["stop", "kill", "pause"])
async def test_without_redis_in_bounded_time(
    store: KeyStore, key: str, redis_server: Redis, break_it: str
) -> None:
    claim = await taken(store, key)
    await asyncio.to_thread(getattr(redis_server, break_it))
    try:
        began = time.monotonic()
        results = await asyncio.gather(
            *(store.claim(f"{key}{n}", "f") for n in range(50)),
            store.complete(claim, ANSWER),
            store.release(claim),
            return_exceptions=True,
        )
        # 0.7 s plus the time of 52 requests on a busy machine; far below Redis' own
        # limit.
        assert time.monotonic() - began < 4
        assert {type(result) for result in results} == {KeyStoreUnavailable}
    finally:
        redis_server.resume()
        await asyncio.to_thread(redis_server.start)
    await taken(store, uuid4().hex)


async def test_the_connections_are_bounded(
    store: KeyStore, redis_server: Redis
) -> None:
    await asyncio.gather(*(store.claim(uuid4().hex, "f") for _ in range(500)))
    with redis_server.connect() as redis:
        clients = [each for each in redis.client_list() if each["db"] == "2"]
    assert 0 < len(clients) <= key_store.CONNECTIONS
