"""Health reports."""

import asyncio
from types import SimpleNamespace

import pytest

from app.core import health
from app.core.exceptions import BrokerUnavailable
from app.core.health import HealthChecks, HealthReport, PartState


async def up() -> None:
    pass


async def down() -> None:
    raise BrokerUnavailable("gone")


async def stuck() -> None:
    await asyncio.Event().wait()


async def no_services() -> dict[str, PartState]:
    return {}


def report(**checks: health.Check) -> HealthReport:
    async def run() -> HealthReport:
        required = frozenset({"database"})
        return await HealthChecks(checks, required, no_services).report()

    return asyncio.run(run())


def test_all_up() -> None:
    assert report(database=up, redis=up).status == "ok"


def test_unavailable_without_a_required_part() -> None:
    found = report(database=down, redis=up)
    assert (found.status, found.is_able) == ("unavailable", False)
    assert found.parts["database"] == PartState(False, "gone")


def test_degraded_without_an_optional_part() -> None:
    found = report(database=up, redis=down)
    assert (found.status, found.is_able) == ("degraded", True)


def test_a_check_that_hangs_is_down() -> None:
    original, health.CHECK_TIMEOUT = health.CHECK_TIMEOUT, 0.01
    try:
        found = report(database=stuck)
        assert found.status == "unavailable"
        assert found.parts["database"].detail == "no answer within 0.01 s"
    finally:
        health.CHECK_TIMEOUT = original


def test_probes_share_one_check() -> None:
    calls = 0

    async def count() -> None:
        nonlocal calls
        calls += 1

    async def run() -> None:
        checks = HealthChecks({"database": count}, frozenset(), no_services)
        await asyncio.gather(*(checks.report() for _ in range(50)))

    asyncio.run(run())
    assert calls == 1


async def test_a_state_is_kept_for_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, calls = SimpleNamespace(now=50.0), 0
    monkeypatch.setattr(health, "time", SimpleNamespace(monotonic=lambda: clock.now))

    async def count() -> None:
        nonlocal calls
        calls += 1

    checks = HealthChecks({"database": count}, frozenset(), no_services)
    assert not checks.is_draining
    for clock.now, checked in [(50.0, 1), (50.9, 1), (51.0, 2), (51.9, 2), (52.5, 3)]:
        await checks.report()
        assert calls == checked


async def test_a_slow_check_is_not_repeated_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A state is as old as its answer."""
    clock, calls = SimpleNamespace(now=50.0), 0
    monkeypatch.setattr(health, "time", SimpleNamespace(monotonic=lambda: clock.now))

    async def take_long() -> None:
        nonlocal calls
        calls += 1
        clock.now += 2

    checks = HealthChecks({"database": take_long}, frozenset(), no_services)
    for _ in range(2):
        await checks.report()
    assert calls == 1


def test_checks_run_side_by_side() -> None:
    meeting = asyncio.Barrier(2)

    async def meet() -> None:
        await meeting.wait()

    assert report(database=meet, redis=meet).status == "ok"


def test_a_bug_in_a_check_is_no_outage() -> None:
    async def bug() -> None:
        raise LookupError

    with pytest.raises(LookupError):
        report(database=bug)


def test_services_neither_affect_nor_delay_probes() -> None:
    async def run() -> None:
        released = asyncio.Event()

        async def read() -> dict[str, PartState]:
            await released.wait()
            return {"echo-service": PartState(False, "nobody consumes")}

        checks = HealthChecks({"database": up}, frozenset({"database"}), read)
        whole = asyncio.create_task(checks.report_all())
        assert (await checks.report()).status == "ok"
        released.set()
        found = await whole
        assert (found.status, found.is_able) == ("degraded", True)
        assert list(found.parts) == ["database", "echo-service"]

    asyncio.run(run())
