"""A crowd passes one by one, and others get their turns meanwhile."""

import asyncio

import pytest

from app.core.pace import Pace


@pytest.mark.promise(
    "docs/SECURITY.md",
    "Unknown tokens are checked, and refused, one in each turn of the event loop",
)
async def test_one_passes_in_each_turn_of_the_loop() -> None:
    pace, passed = Pace(), 0

    async def pass_through() -> None:
        nonlocal passed
        await pace.wait()
        passed += 1

    crowd = [asyncio.create_task(pass_through()) for _ in range(50)]
    before = passed
    while passed < len(crowd):
        await asyncio.sleep(0)
        assert passed - before <= 1
        before = passed


async def test_one_who_leaves_holds_up_nobody() -> None:
    pace = Pace()
    first, second = (asyncio.create_task(pace.wait()) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    async with asyncio.timeout(5):
        await second
