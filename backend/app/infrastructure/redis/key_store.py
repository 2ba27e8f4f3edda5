"""Idempotency keys in Redis: who works on one, and what came of it.

An entry is one string. While a request holds its key it is ``Claim.entry``, with a
short life, the lease; afterwards it is the answer, kept for longer. Only the owner of
an entry replaces it: a request that outlived its lease changes nothing.
"""

import asyncio
import json
from collections.abc import Sequence
from typing import Any
from uuid import uuid4

from redis.asyncio import ConnectionPool
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError, RedisError

from app.core.exceptions import KeyStoreUnavailable
from app.core.keys import Answer, Claim, Held

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
        # The pool makes connections; this class keeps them. Redis-py's client takes as
        # long for its own work as Redis does for the command.
        self._pool = ConnectionPool.from_url(
            url,
            # ``_ask`` is the time-out. Redis-py's own makes each write a wait_for,
            # which on Python 3.11 may swallow a cancellation, and so that time-out.
            socket_timeout=None,
            retry=Retry(NoBackoff(), 0),
        )
        self._idle: list[Any] = []
        self._places = asyncio.Semaphore(CONNECTIONS)
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
        take = ("SET", name, claim.entry, "NX", "PX", self._lease_ms)
        while True:
            if await self._ask(*take):
                return claim
            entry = await self._ask("GET", name)
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
        await self._drop_idle()

    async def _replace(self, claim: Claim, entry: bytes, life_ms: int) -> Any:
        keys = (1, claim.name)
        return await self._ask("EVAL", _REPLACE, *keys, claim.entry, entry, life_ms)

    async def _ask(self, *command: Any) -> Any:
        """One command, in bounded time. Every command here may run twice."""
        try:
            async with asyncio.timeout(TIMEOUT), self._places:
                return await self._try_twice(command)
        except (RedisError, OSError) as error:  # TimeoutError is an OSError
            detail = "Redis, which keeps idempotency keys, does not answer."
            raise KeyStoreUnavailable(detail) from error

    async def _try_twice(self, command: Sequence[Any]) -> Any:
        try:
            return await self._exchange(command)
        except (ConnectionError, OSError):
            # Idle connections die with a Redis that was restarted meanwhile.
            await self._drop_idle()
            return await self._exchange(command)

    async def _exchange(self, command: Sequence[Any]) -> Any:
        pool: Any = self._pool
        connection = self._idle.pop() if self._idle else pool.make_connection()
        try:
            await connection.send_command(*command)  # connects if need be
            reply = await connection.read_response()
        except BaseException:
            await connection.disconnect(nowait=True)
            raise
        self._idle.append(connection)
        return reply

    async def _drop_idle(self) -> None:
        idle, self._idle = self._idle, []
        for connection in idle:
            await connection.disconnect(nowait=True)


def _read(entry: bytes) -> Held:
    text, _, body = entry.partition(b"\n")
    head = json.loads(text)
    answer = None
    if "status" in head:
        headers = [(name, value) for name, value in head["headers"]]
        answer = Answer(head["status"], headers, body)
    return Held(head["fingerprint"], answer)
