"""What counts as large JSON, and where it is written."""

import asyncio
import threading
import time
from typing import Any

import pytest

from chassis import json_aside, json_text
from chassis.json_aside import LONG, MANY, is_large


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, False),
        ({"payload": "hello", "description": None, "n": [1, 2.5, True]}, False),
        ("x" * (LONG - 1), False),
        ("x" * LONG, True),
        ({"x" * LONG: 1}, True),
        ([["x" * (LONG // 2)], {"a": "x" * (LONG // 2)}], True),
        ([0] * (MANY - 10), False),
        ([0] * (MANY + 10), True),
        ([[0]] * MANY, True),
        (dict.fromkeys(range(MANY + 10)), True),
        ([10**999] * 80, True),
        (object(), False),
    ],
)
def test_large_values(value: Any, expected: bool) -> None:
    assert is_large(value) is expected
    assert is_large(None, value) is expected


def test_little_of_a_large_value_is_looked_at() -> None:
    value = [{"a": [1] * 10}] * 10**6
    began = time.process_time()
    assert is_large(value)
    assert time.process_time() - began < 0.01


@pytest.mark.parametrize("value", [["small"], ["large"] * MANY])
async def test_large_values_are_written_in_one_thread(
    value: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    threads: set[str] = set()
    write = json_text.dumps

    def dumps(value: Any) -> str:
        threads.add(threading.current_thread().name)
        return write(value)

    monkeypatch.setattr(json_text, "dumps", dumps)
    texts = await asyncio.gather(*(json_aside.write(value) for _ in range(4)))
    assert texts == [write(value)] * 4
    own = threading.current_thread().name
    assert threads == ({"json_0"} if len(value) == MANY else {own})


async def test_errors_arrive() -> None:
    with pytest.raises(ValueError):
        await json_aside.write([float("inf")] * MANY)
