"""Health of the parts that the API depends on."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from app.core.exceptions import ApplicationError

CHECK_TIMEOUT = 1.0
CACHE_SECONDS = 1.0


@dataclass(frozen=True)
class PartState:
    """The state of one part; ``detail`` is for people."""

    is_up: bool
    detail: str | None = None


Check = Callable[[], Awaitable[None]]
ReadStates = Callable[[], Awaitable[Mapping[str, PartState]]]


@dataclass(frozen=True)
class HealthReport:
    """The state of each part; the API's main job needs the ``required`` ones."""

    parts: Mapping[str, PartState]
    required: frozenset[str]

    @property
    def is_able(self) -> bool:
        """Whether the API can do its main job."""
        return all(self.parts[name].is_up for name in self.required)

    @property
    def status(self) -> str:
        """``ok``, ``degraded`` (the main job works) or ``unavailable``."""
        if not self.is_able:
            return "unavailable"
        all_up = all(part.is_up for part in self.parts.values())
        return "ok" if all_up else "degraded"


class HealthChecks:
    """Runs all checks in parallel, at most once every ``CACHE_SECONDS``.

    However often probes come, each part has at most one running check.

    Args:
        checks: one per part of this deployment; it raises ApplicationError if its part
            is down.
        required: the parts without which the API cannot do its main job.
        read_services: reads the state of the services. They do not affect readiness:
            the API can serve one service while another is down.
    """

    def __init__(
        self,
        checks: Mapping[str, Check],
        required: frozenset[str],
        read_services: ReadStates,
    ) -> None:
        self._required = required
        self._parts = _CachedStates(lambda: _run_checks(checks))
        self._services = _CachedStates(read_services)
        self.is_draining = False

    async def report(self) -> HealthReport:
        """The report without the services, which must not delay a probe."""
        return HealthReport(await self._parts.get(), self._required)

    async def report_all(self) -> HealthReport:
        """The report with the services."""
        parts, services = await asyncio.gather(self._parts.get(), self._services.get())
        return HealthReport({**parts, **services}, self._required)


class _CachedStates:
    def __init__(self, read: ReadStates) -> None:
        self._read = read
        self._lock = asyncio.Lock()
        self._states: Mapping[str, PartState] | None = None
        self._expires = 0.0

    async def get(self) -> Mapping[str, PartState]:
        async with self._lock:
            if self._states is None or time.monotonic() >= self._expires:
                self._states = await self._read()
                self._expires = time.monotonic() + CACHE_SECONDS
            return self._states


async def _run_checks(checks: Mapping[str, Check]) -> Mapping[str, PartState]:
    states = await asyncio.gather(*map(_run_check, checks.values()))
    return dict(zip(checks, states, strict=True))


async def _run_check(check: Check) -> PartState:
    try:
        async with asyncio.timeout(CHECK_TIMEOUT):
            await check()
    except TimeoutError:
        return PartState(False, f"no answer within {CHECK_TIMEOUT:g} s")
    except ApplicationError as error:
        return PartState(False, error.detail)
    return PartState(True)
