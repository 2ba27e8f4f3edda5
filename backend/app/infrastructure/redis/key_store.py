"""Idempotency keys in Redis: who processes one, and the answer.

An entry is one string. While a request holds its key, the entry is the end of its lease
and ``Claim.entry``; afterwards it is the answer. Only the owner replaces an entry: a
request whose key was taken over changes nothing.

A full Redis with the policy ``volatile-ttl`` evicts the entries that expire soonest.
Claims therefore live longer than any answer, and the end of the lease is part of their
text: Redis evicts old answers first, and no work starts twice.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import uuid4

from redis import CredentialProvider
from redis.exceptions import RedisError

from app.core.exceptions import KeyStoreUnavailable
from app.core.keys import Answer, Claim, Held
from app.infrastructure.redis.client import ask, connect_redis, leave_replica
from chassis.outages import Outage
from chassis.redis_url import RedisUrl

# Seconds that one attempt takes at most: a request has one at its start and at its end.
TIMEOUT = 0.7
# With Sentinels, attempts go on until the last primary has been lost for so many
# seconds, in which they find another one.
FAILOVER = 4.0
PAUSE = 0.1  # seconds between two attempts
CONNECTIONS = 16
# The number is the version of the entries' format: other versions must not read them.
PREFIX = "idempotency:2:"

# Returns nothing if the key is ours now (even when this runs twice), else the entry.
_CLAIM = """
local entry = redis.call("GET", KEYS[1])
local clock = redis.call("TIME")
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
if entry then
  local ends, claim = string.match(entry, "^claim (%d+) (.*)$")
  if claim == ARGV[1] then return false end
  if not ends or now < tonumber(ends) then return entry end
end
local text = string.format("claim %.0f %s", now + ARGV[2], ARGV[1])
redis.call("SET", KEYS[1], text, "PX", ARGV[3])
return false
"""

_REPLACE = """
local entry = redis.call("GET", KEYS[1])
if entry == ARGV[2] then return 1 end
if not entry or string.match(entry, "^claim %d+ (.*)$") ~= ARGV[1] then return 0 end
if ARGV[2] == "" then return redis.call("DEL", KEYS[1]) end
redis.call("SET", KEYS[1], ARGV[2], "PX", ARGV[3])
return 1
"""


class KeyStore:
    """One for the whole process. Connects on first use."""

    def __init__(
        self,
        url: str,
        *,
        lease: float,
        keep: float,
        key_prefix: str = "",
        login: CredentialProvider | None = None,
    ) -> None:
        """``lease`` and ``keep`` are the lifetimes of claims and of answers, in
        seconds."""
        self._prefix = key_prefix + PREFIX
        self._redis = connect_redis(url, CONNECTIONS, login)
        self._patience = FAILOVER if RedisUrl.read(url).master_name else 0.0
        self._outage = Outage("Redis, which keeps idempotency keys")
        self._claim = self._redis.register_script(_CLAIM)
        self._lease_ms = int(lease * 1000)
        self._keep_ms = int(keep * 1000)

    async def claim(self, key: str, fingerprint: str) -> Claim | Held:
        """Claim the key, or return the entry that another request left.

        Raises:
            KeyStoreUnavailable: Redis did not answer in time, or is full.
        """
        name = self._prefix + key
        head = {"fingerprint": fingerprint, "owner": uuid4().hex}
        claim = Claim(name, fingerprint, json.dumps(head).encode())
        life_ms = self._lease_ms + self._keep_ms
        arguments: list[bytes | int] = [claim.entry, self._lease_ms, life_ms]
        entry = await self._ask(lambda: self._claim([name], arguments))
        return claim if entry is None else _read(entry)

    async def complete(self, claim: Claim, answer: Answer) -> bool:
        """Store the answer for repeated requests; False if the lease had ended.

        Raises:
            KeyStoreUnavailable: Redis did not answer in time, or is full.
        """
        head = {
            "fingerprint": claim.fingerprint,
            "status": answer.status,
            "headers": answer.headers,
            "has_body": answer.body is not None,
            "is_in_record": answer.is_in_record,
        }
        entry = json.dumps(head).encode() + b"\n" + (answer.body or b"")
        return bool(await self._replace(claim, entry, self._keep_ms))

    async def release(self, claim: Claim) -> None:
        """Release the key, so that a repeated request is processed.

        Raises:
            KeyStoreUnavailable: Redis did not answer in time; the key is free when the
                lease ends.
        """
        await self._replace(claim, b"", 0)

    async def check(self) -> None:
        """Raise KeyStoreUnavailable if Redis does not answer."""
        await self._ask(self._redis.ping, is_patient=False)

    async def close(self) -> None:
        """Close all connections."""
        await self._redis.aclose()

    async def _replace(self, claim: Claim, entry: bytes, life_ms: int) -> Any:
        # One command, also for a Redis that does not know the script: the answer is on
        # its way to the client, who may send the key again at once.
        arguments: list[Any] = [claim.entry, entry, life_ms]
        return await self._ask(
            lambda: self._redis.eval(_REPLACE, 1, claim.name, *arguments)
        )

    async def _ask(
        self, command: Callable[[], Awaitable[Any]], *, is_patient: bool = True
    ) -> Any:
        """One answer, in limited time. Every command here may run twice."""
        patience = self._patience if is_patient else 0.0
        while True:
            try:
                return await ask(command(), TIMEOUT, self._outage)
            except (RedisError, OSError) as error:
                await leave_replica(self._redis, error)
                is_full = "used memory > 'maxmemory'" in str(error)
                if is_full or self._outage.seconds >= patience:
                    what = "is full" if is_full else "does not answer"
                    detail = f"Redis, which keeps idempotency keys, {what}."
                    raise KeyStoreUnavailable(detail) from error
            await asyncio.sleep(PAUSE)


def _read(entry: bytes) -> Held:
    if entry.startswith(b"claim "):
        _, _, text = entry.split(b" ", 2)
        return Held(json.loads(text)["fingerprint"], None)
    text, _, body = entry.partition(b"\n")
    head = json.loads(text)
    answer = Answer(
        head["status"],
        [(name, value) for name, value in head["headers"]],
        body if head["has_body"] else None,
        head["is_in_record"],
    )
    return Held(head["fingerprint"], answer)
