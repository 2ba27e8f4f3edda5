"""How often a Redis that is away is asked, without one."""

from typing import Any

import pytest

from app.infrastructure.redis import request_counts as module
from app.infrastructure.redis.request_counts import PAUSE, RequestCounts


class Clock:
    now = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.mark.promise("docs/BUDGETS.md", "after a failure nobody asks for one second")
async def test_after_a_failure_nobody_asks_for_a_while(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock, waits = Clock(), list[float]()

    async def ask(question: Any, seconds: float, _: Any) -> int:
        question.close()
        waits.append(seconds)
        raise OSError("it is away")

    monkeypatch.setattr(module, "time", clock)
    monkeypatch.setattr(module, "ask", ask)
    counts = RequestCounts("redis://127.0.0.1:1/0")
    for seconds in (0, PAUSE - 0.01, 0.02):
        clock.now += seconds
        assert await counts.add("key", 60, 1) is None
    assert waits == [0.25, 0.25]
