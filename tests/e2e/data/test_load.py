"""Many clients at once: each gets its own answer, and everything is stored."""

import random
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.e2e.client import (
    LOGS,
    PROCESS,
    PROCESS_ASYNC,
    RECORDS,
    Api,
    assert_problem,
    exact,
)

CLIENTS = 32

# Payload, description, output; each with its number in it.
KINDS: list[Callable[[int], tuple[Any, str | None, Any]]] = [
    lambda n: (f"text {n}", "uppercase", f"TEXT {n}"),
    lambda n: (f"text {n}", "reverse", f"text {n}"[::-1]),
    lambda n: (n, "square", n * n),
    lambda n: (n + 0.5, "double", 2 * n + 1.0),
    lambda n: ([n, 3, 1, 2], "sort", sorted([n, 3, 1, 2])),
    lambda n: ({"n": n}, None, {"data": {"n": n}, "processed": True, "keys_count": 1}),
    lambda n: ("x" * 20_000 + str(n), "reverse", str(n)[::-1] + "x" * 20_000),
]


@pytest.mark.timeout(240)  # each task has two minutes
def test_several_hundred_mixed_requests(api: Api) -> None:
    chance = random.Random(20261123)
    newest = {path: api.newest(path) for path in (RECORDS, LOGS)}

    def ask(number: int) -> tuple[str, Any] | None:
        kind = chance.choice(KINDS)
        payload, description, output = kind(number)
        if number % 10 == 9:
            assert_problem(api.post(PROCESS, [number, "a"], "sort"), 422)
            return None
        if number % 3 == 0:
            answer = api.post(PROCESS_ASYNC, payload, description)
            assert answer.status_code == 202, answer.text
            outcome = api.wait_ended(answer.json()["task_id"], within=120)["outcome"]
        else:
            answer = api.post(PROCESS, payload, description)
            assert answer.status_code == 200, answer.text
            outcome = answer.json()["outcome"]
        assert exact(outcome["input"]) == exact(payload)
        assert exact(outcome["output"]) == exact(output)
        return answer.headers["Location"].rpartition("/")[2], payload

    with ThreadPoolExecutor(max_workers=CLIENTS) as pool:
        done = dict(filter(None, pool.map(ask, range(300))))

    stored = {row["task_id"]: row for row in api.rows_since(newest[RECORDS], RECORDS)}
    assert stored.keys() == done.keys()
    for task_id, payload in done.items():
        assert stored[task_id]["task_status"] == "Success"
        assert exact(stored[task_id]["payload"]) == exact(payload)
    logged = api.rows_since(newest[LOGS], LOGS, status="end")
    ends = [row["task_id"] for row in logged]
    for task_id in done:
        assert ends.count(task_id) == 1
