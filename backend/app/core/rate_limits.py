"""Rate limits that all API processes share, at the price of few questions to Redis.

The shared counter says how many requests of a caller are reserved in the current
window. A process reserves a few at a time and then admits them on its own, so together
the processes never admit more than the limit. The fewer are left, the fewer it
reserves: what one process reserved, another cannot use.

Without the counter, a process goes on from the last count that it knows. When the
counter is back, it first adds what was admitted without it.

Windows follow the clock. Each caller's begin at another moment, so that not all come
back at once.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from hashlib import sha256
from math import ceil
from typing import NamedTuple
from zlib import crc32

from app.core.rate_limit_settings import RatePolicy

#: Callers that a process remembers, for each policy. The oldest are forgotten first.
MAX_CALLERS = 10_000
#: A process reserves one of so many that are left, and at least one.
SHARE = 20

#: Adds to a counter that lives so many seconds, and returns its value; None if the
#: counter does not answer in time.
Add = Callable[[str, int, int], Awaitable[int | None]]


class Verdict(NamedTuple):
    """Whether a request may pass; ``left`` more may, and all again in ``seconds``."""

    policy: RatePolicy
    may_pass: bool
    left: int
    seconds: int


class Quota:
    """What one caller may still send in one window, as this process knows it."""

    __slots__ = ("key", "ends", "left", "reserved", "owed", "waiting", "lock")

    def __init__(self, key: str, ends: float, amount: int) -> None:
        self.key = key
        self.ends = ends
        #: Nobody has reserved these, by the last count.
        self.left = amount
        #: For this process.
        self.reserved = 0
        #: Reserved while the counter did not answer.
        self.owed = 0
        #: Requests that wait for the counter.
        self.waiting = 0
        self.lock = asyncio.Lock()


class RateLimits:
    """One per process; each limit has its own requests."""

    def __init__(
        self,
        policies: Mapping[str, RatePolicy],
        add: Add,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._policies = policies
        self._clock = clock
        self._quotas: dict[str, dict[str, Quota]] = {name: {} for name in policies}
        self._add = add

    async def take(self, name: str, caller: str) -> Verdict | None:
        """Count a request; None if there is no such limit."""
        policy = self._policies.get(name)
        if policy is None:
            return None
        now = self._clock()
        quota = self._find(policy, caller, now)
        if not quota.reserved and quota.left:
            quota.waiting += 1
            try:
                async with quota.lock:
                    if not quota.reserved and quota.left:
                        await self._reserve(policy, quota)
            finally:
                quota.waiting -= 1
        may_pass = quota.reserved > 0
        quota.reserved -= may_pass
        seconds = max(1, ceil(quota.ends - now))
        return Verdict(policy, may_pass, quota.left + quota.reserved, seconds)

    def _find(self, policy: RatePolicy, caller: str, now: float) -> Quota:
        quotas = self._quotas[policy.name]
        quota = quotas.get(caller)
        if quota is None or not quota.ends - policy.seconds <= now < quota.ends:
            quotas.pop(caller, None)  # the new one goes to the end
            while len(quotas) >= MAX_CALLERS:
                del quotas[next(iter(quotas))]
            quota = quotas[caller] = _new_quota(policy, caller, now)
        return quota

    async def _reserve(self, policy: RatePolicy, quota: Quota) -> None:
        wanted = max(quota.waiting, quota.left // SHARE)
        count = await self._add(quota.key, policy.seconds, wanted + quota.owed)
        if count is None:
            found = min(wanted, quota.left)
            quota.owed += found
            quota.left -= found
        else:
            found = max(0, min(wanted, policy.amount - (count - wanted)))
            quota.owed = 0
            quota.left = max(0, policy.amount - count)
        quota.reserved += found


def _new_quota(policy: RatePolicy, caller: str, now: float) -> Quota:
    shift = crc32(caller.encode(errors="replace")) % policy.seconds
    number = int((now + shift) // policy.seconds)
    # Redis needs to know neither subjects nor addresses.
    digest = sha256(caller.encode(errors="replace")).hexdigest()
    key = f"{policy.name}:{policy.seconds}:{number}:{digest}"
    ends = float((number + 1) * policy.seconds - shift)
    return Quota(key, ends, policy.amount)
