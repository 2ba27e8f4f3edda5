"""Idempotency keys in Redis: who works on one, and what came of it.

An entry is one string. While a request holds its key it is ``Claim.entry``, with a
short life, the lease; afterwards it is the answer, kept for longer. Only the owner of
an entry replaces it: a request that outlived its lease changes nothing.
"""

import asyncio
import json
from collections.abc import Awaitable
from typing import Any
from uuid import uuid4

from redis.exceptions import RedisError

from app.core.exceptions import KeyStoreUnavailable
from app.core.keys import Answer, Claim, Held
from app.infrastructure.redis.advice import advice
from app.infrastructure.redis.client import connect_redis
from chassis.outages import Outage

# Seconds that a request waits for Redis, at the most, at its start and at its end.
TIMEOUT = 0.7
CONNECTIONS = 16
PREFIX = "idempotency:"

_REPLACE = """
local entry = redis.call("GET", KEYS[1])
if entry == ARGV[2] then return 1 end
if entry ~= ARGV[1] then return 0 end
if ARGV[2] == "" then return redis.call("DEL", KEYS[1]) end
redis.call("SET", KEYS[1], ARGV[2], "PX", ARGV[3])
return 1
"""


class KeyStore:
    """One for the whole process. Connects on first use."""

    def __init__(self, url: str, *, lease: float, keep: float) -> None:
        """``lease`` and ``keep`` are the lives of claims and of answers, in seconds."""
        self._redis = connect_redis(url, CONNECTIONS)
        self._outage = Outage("Redis, which keeps idempotency keys")
        self._script = self._redis.register_script(_REPLACE)
        self._lease_ms = int(lease * 1000)
        self._keep_ms = int(keep * 1000)

    async def claim(self, key: str, fingerprint: str) -> Claim | Held:
        """Take the key, or see what another request left there.

        Raises:
            KeyStoreUnavailable: Redis did not answer in time.
        """
        name = PREFIX + key
        head = {"fingerprint": fingerprint, "owner": uuid4().hex}
        claim = Claim(name, fingerprint, json.dumps(head).encode())
        while True:
            take = self._redis.set(name, claim.entry, nx=True, px=self._lease_ms)
            if await self._ask(take):
                return claim
            entry = await self._ask(self._redis.get(name))
            if entry == claim.entry:  # taken by an attempt that seemed to fail
                return claim
            if entry is not None:  # None: it ended in between
                return _read(entry)

    async def complete(self, claim: Claim, answer: Answer) -> bool:
        """Keep the answer for the next who sends the key; False: the lease was over.

        Raises:
            KeyStoreUnavailable: Redis did not answer in time.
        """
        head = {
            "fingerprint": claim.fingerprint,
            "status": answer.status,
            "headers": answer.headers,
        }
        entry = json.dumps(head).encode() + b"\n" + answer.body
        return bool(await self._replace(claim, entry, self._keep_ms))

    async def release(self, claim: Claim) -> None:
        """Let the next who sends the key do the work.

        Raises:
            KeyStoreUnavailable: Redis did not answer in time; the lease will end.
        """
        await self._replace(claim, b"", 0)

    async def close(self) -> None:
        """Give the connections back."""
        await self._redis.aclose()

    async def _replace(self, claim: Claim, entry: bytes, life_ms: int) -> Any:
        arguments: list[bytes | int] = [claim.entry, entry, life_ms]
        return await self._ask(self._script([claim.name], arguments))

    async def _ask(self, answer: Awaitable[Any]) -> Any:
        """One answer, in bounded time. Every command here may run twice."""
        try:
            async with asyncio.timeout(TIMEOUT):
                found = await answer
        except (RedisError, OSError) as error:  # TimeoutError is an OSError
            self._outage.lost(error, advice(error))
            detail = "Redis, which keeps idempotency keys, does not answer."
            raise KeyStoreUnavailable(detail) from error
        self._outage.restored()
        return found


def _read(entry: bytes) -> Held:
    text, _, body = entry.partition(b"\n")
    head = json.loads(text)
    answer = None
    if "status" in head:
        headers = [(name, value) for name, value in head["headers"]]
        answer = Answer(head["status"], headers, body)
    return Held(head["fingerprint"], answer)
