"""Whether the parts that the API needs are there."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from app.core.exceptions import ApplicationError

CHECK_TIMEOUT = 1.0
CACHE_SECONDS = 1.0

Check = Callable[[], Awaitable[None]]


@dataclass(frozen=True)
class Report:
    """``errors`` has an entry for each part: None if it is up."""

    errors: Mapping[str, str | None]
    required: frozenset[str]

    @property
    def able(self) -> bool:
        """Whether the API can do its main job."""
        return not any(self.errors[name] for name in self.required)

    @property
    def status(self) -> str:
        """``ok``, ``degraded`` (the main job works) or ``unavailable``."""
        if not self.able:
            return "unavailable"
        return "degraded" if any(self.errors.values()) else "ok"


class HealthChecks:
    """Runs all checks at once, and again no sooner than ``CACHE_SECONDS`` later.

    Probes may come as often as they like: at most one check of a part runs.
    """

    def __init__(self, checks: Mapping[str, Check], required: frozenset[str]) -> None:
        self._checks = checks
        self._required = required
        self._lock = asyncio.Lock()
        self._report: Report | None = None
        self._expires = 0.0
        self.draining = False

    async def report(self) -> Report:
        """The state of all parts, at most ``CACHE_SECONDS`` old."""
        async with self._lock:
            if self._report is None or time.monotonic() >= self._expires:
                errors = await asyncio.gather(*map(_error, self._checks.values()))
                states = dict(zip(self._checks, errors, strict=True))
                self._report = Report(states, self._required)
                self._expires = time.monotonic() + CACHE_SECONDS
            return self._report


async def _error(check: Check) -> str | None:
    try:
        async with asyncio.timeout(CHECK_TIMEOUT):
            await check()
    except TimeoutError:
        return f"no answer within {CHECK_TIMEOUT:g} s"
    except ApplicationError as error:
        return error.detail
    return None
