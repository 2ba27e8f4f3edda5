"""Health reports."""

import asyncio

from app.core import health
from app.core.exceptions import BrokerUnavailable
from app.core.health import HealthChecks


async def up() -> None:
    pass


async def down() -> None:
    raise BrokerUnavailable("gone")


async def stuck() -> None:
    await asyncio.Event().wait()


def report(**checks: health.Check) -> health.Report:
    async def run() -> health.Report:
        return await HealthChecks(checks, frozenset({"database"})).report()

    return asyncio.run(run())


def test_all_up() -> None:
    assert report(database=up, redis=up).status == "ok"


def test_without_a_required_part_the_job_cannot_be_done() -> None:
    found = report(database=down, redis=up)
    assert (found.status, found.able) == ("unavailable", False)
    assert found.errors["database"] == "gone"


def test_without_another_part_it_can() -> None:
    found = report(database=up, redis=down)
    assert (found.status, found.able) == ("degraded", True)


def test_a_check_that_hangs_is_down() -> None:
    original, health.CHECK_TIMEOUT = health.CHECK_TIMEOUT, 0.01
    try:
        assert report(database=stuck).status == "unavailable"
    finally:
        health.CHECK_TIMEOUT = original


def test_probes_share_one_check() -> None:
    calls = 0

    async def count() -> None:
        nonlocal calls
        calls += 1

    async def run() -> None:
        checks = HealthChecks({"database": count}, frozenset())
        await asyncio.gather(*(checks.report() for _ in range(50)))

    asyncio.run(run())
    assert calls == 1
