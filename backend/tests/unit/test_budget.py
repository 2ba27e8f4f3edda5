"""The budget of a process, with a clock and clients that the test controls."""

import asyncio

import pytest

from app.core import budget as module
from app.core.budget import FEW, SMALL, Account, Budget, held_for, work_of
from app.core.exceptions import TooBusy


def test_bytes_are_held_up_to_the_limit() -> None:
    budget = Budget(100_000)
    first, second = Account(budget), Account(budget)
    first.hold(100_000)
    with pytest.raises(TooBusy):
        second.hold(SMALL + 1)
    second.hold(SMALL)  # small bodies are not counted
    first.close()
    second.hold(SMALL + 1)
    second.close()
    assert budget.held == 0


def test_an_account_grows() -> None:
    budget = Budget(100_000)
    account = Account(budget)
    for size in (20_000, 60_000, 50_000):
        account.hold(size)
    assert budget.held == 60_000
    account.hold(150_000, anyway=True)
    assert budget.held == 150_000
    account.close()
    account.close()
    assert budget.held == 0


def test_values_count() -> None:
    assert held_for(10, FEW) == 10 < held_for(10, FEW + 1)
    assert work_of(b"x" * SMALL, FEW) == 0
    assert 0 < work_of(b"x" * SMALL, FEW + 1)
    narrow = work_of(b"x" * 100_000, 1)
    for wide in ("é" * 50_000, "\\u00e9".ljust(100_000)):
        assert work_of(wide.encode(), 1) > 2 * narrow


def test_the_prices_are_those_that_were_measured() -> None:
    assert held_for(10, FEW + 2) == 10 + 2 * 100
    assert work_of(b"x" * (SMALL + 1), 0) == 16 * (SMALL + 1)
    assert work_of(b"", FEW + 1) == 400 * (FEW + 1)
    assert work_of("é".encode() * SMALL, 3) == 40 * 2 * SMALL + 400 * 3


async def test_no_work_needs_no_turn() -> None:
    budget = Budget(100)
    await budget.begin(150)
    assert await budget.begin(0) == 0
    assert budget.work == 150


async def test_a_turn_skips_a_cancelled_waiter() -> None:
    """A waiter whose cancellation has begun is skipped, even before it has finished."""
    budget = Budget(100)
    await budget.begin(150)
    leaves, stays = (asyncio.create_task(budget.begin(100)) for _ in range(2))
    await asyncio.sleep(0)
    leaves.cancel()
    budget.end(150)
    assert await stays == 100
    with pytest.raises(asyncio.CancelledError):
        await leaves
    budget.end(100)
    assert budget.work == 0


async def test_a_turn_that_came_too_late_is_given_back() -> None:
    budget = Budget(100)
    await budget.begin(150)
    leaves = asyncio.create_task(budget.begin(100))
    await asyncio.sleep(0)
    budget.end(150)  # its turn
    assert budget.work == 100
    leaves.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leaves
    assert budget.work == 0


@pytest.mark.promise(
    "ARCHITECTURE.md",
    "Large bodies wait for their turn, and a request without room gets a 503.",
)
@pytest.mark.budget("MAX_BODY_BYTES_IN_FLIGHT")
async def test_work_waits_for_its_turn() -> None:
    budget = Budget(100)  # 150 bytes in use
    assert await budget.begin(100) == 100
    waiting = [asyncio.create_task(budget.begin(cost)) for cost in (100, 10)]
    await asyncio.sleep(0)
    assert not any(task.done() for task in waiting)  # none goes before the first
    budget.end(100)
    assert await asyncio.gather(*waiting) == [100, 10]
    budget.end(100)
    budget.end(10)
    assert await budget.begin(10**9) == 150  # alone, at any size
    budget.end(150)
    assert budget.work == 0


@pytest.mark.budget("budget.PATIENCE")
async def test_work_waits_for_a_limited_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PATIENCE", 0.01)
    budget = Budget(100)
    await budget.begin(150)
    with pytest.raises(TooBusy):
        await budget.begin(1)
    given_up = asyncio.create_task(budget.begin(1))
    await asyncio.sleep(0)
    given_up.cancel()
    with pytest.raises(asyncio.CancelledError):
        await given_up
    budget.end(150)
    assert await budget.begin(150) == 150


@pytest.mark.budget("budget.READERS")
async def test_readers_wait_for_a_limited_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PATIENCE", 0.01)
    monkeypatch.setattr(module, "READERS", 1)
    budget = Budget(100)
    async with budget.reading():
        with pytest.raises(TooBusy):
            async with budget.reading():
                pass
    async with budget.reading():
        pass
    with pytest.raises(LookupError):
        async with budget.reading():
            raise LookupError
    async with budget.reading():
        pass
