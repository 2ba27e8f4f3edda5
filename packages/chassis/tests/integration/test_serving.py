"""What a caller sees of a healthy service."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.integration.client import Caller
from tests.integration.conftest import Start
from tests.integration.waiting import wait_until

Connect = Callable[[], Caller]


def notes(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []


def test_every_operation(start: Start, connect: Connect) -> None:
    start()
    caller = connect()
    cases: list[tuple[Any, str | None, Any, str]] = [
        ("hello", "uppercase", "HELLO", "string"),
        ("héllo 😀", "reverse", "😀 olléh", "string"),
        ("hello", None, "Processed: hello", "string"),
        (10**999, "square", 10**1998, "number"),
        (2.5, "double", 5.0, "number"),
        (7, None, 7, "number"),
        ([1, "a"], "reverse", ["a", 1], "list"),
        ([3, 1, 2], "sort", [1, 2, 3], "list"),
        ([1], None, {"count": 1, "items": [1]}, "list"),
        ({"a": 1}, "x", {"data": {"a": 1}, "processed": True, "keys_count": 1}, "dict"),
        (False, None, {"value": False, "processed": True}, "generic"),
    ]
    ids = [caller.send(payload, description) for payload, description, *_ in cases]
    for correlation_id, (payload, _, output, task_type) in zip(ids, cases, strict=True):
        reply = caller.reply(correlation_id)
        assert reply.status == "ok"
        assert reply.headers["x-task-type"] == task_type
        assert reply.body["input"] == payload
        assert reply.body["output"] == output
        assert reply.properties["content_type"] == "application/json"
        assert reply.properties["content_encoding"] == "utf-8"
        assert reply.properties["delivery_mode"] == 1


def test_refusals_are_answers(start: Start, connect: Connect, queue: str) -> None:
    start()
    caller = connect()
    for payload, description, code in [
        ([1, "a"], "sort", "unsortable_list"),
        (1e200, "square", "not_finite"),
    ]:
        reply = caller.call(payload, description)
        assert (reply.status, reply.body["code"]) == ("error", code)
    assert caller.call("still here").status == "ok"
    assert caller.depth(queue) == 0
    assert caller.depth(f"{queue}_dlq") == 0


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"no json",
        b"\xff\xfe",
        b'{"payload": NaN}',
        b"[" * 5000 + b"]" * 5000,
        b'{"payload": ' + b"7" * 5000 + b"}",
    ],
    ids=lambda body: str(body[:12]),
)
def test_what_is_no_request_goes_to_the_dead_letter_queue_at_once(
    start: Start, connect: Connect, queue: str, body: bytes
) -> None:
    start()
    caller = connect()
    reply = caller.call(None, body=body)
    assert (reply.status, reply.body["code"]) == ("error", "invalid_request")
    caller.send("x", body=body, reply_to="")
    caller.send("x", reply_to="")
    wait_until(lambda: caller.depth(f"{queue}_dlq") == 3, "all three are dead-lettered")
    assert caller.call("still here").status == "ok"


def test_a_large_request_and_reply(start: Start, connect: Connect) -> None:
    start()
    payload = ["ä" * 1000] * 1000
    assert connect().call(payload, "reverse").body["output"] == payload


def test_poison_is_dead_lettered_at_the_limit_while_others_flow(
    start: Start, connect: Connect, queue: str, tmp_path: Path
) -> None:
    start("probe")
    caller, log = connect(), tmp_path / "notes"
    poison = [
        caller.send({"do": "fail", "note": str(log), "name": f"poison-{number}"})
        for number in range(3)
    ]
    others = [caller.send({"do": "answer"}) for _ in range(50)]
    for other in others:
        assert caller.reply(other).status == "ok"
    for correlation_id in poison:
        reply = caller.reply(correlation_id)
        assert (reply.status, reply.body["code"]) == ("error", "internal_error")
        assert "told to fail" not in json.dumps(reply.body)
    dead_letters = f"{queue}_dlq"
    wait_until(lambda: caller.depth(dead_letters) == 3, "poison is dead-lettered")
    assert sorted(notes(log)) == sorted([f"poison-{n}" for n in range(3)] * 3)
    dead = caller.take(dead_letters)
    assert json.loads(dead.body)["payload"]["do"] == "fail"
    assert dead.headers["x-first-death-queue"] == queue
    assert caller.depth(queue) == 0


def test_a_stale_request_is_not_executed(
    start: Start, connect: Connect, queue: str, tmp_path: Path
) -> None:
    start("probe")
    caller, log = connect(), tmp_path / "notes"
    caller.send({"do": "answer", "note": str(log), "name": "stale"}, deadline=-1)
    fresh = caller.send({"do": "answer", "note": str(log), "name": "fresh"})
    assert caller.reply(fresh).status == "ok"
    assert notes(log) == ["fresh"]
    wait_until(lambda: caller.depth(queue) == 0, "the queue is empty")
    assert caller.depth(f"{queue}_dlq") == 0


def test_slow_requests_do_not_hold_up_quick_ones(
    start: Start, connect: Connect, tmp_path: Path
) -> None:
    start("probe", CONCURRENCY="4")
    caller, gate = connect(), tmp_path / "gate"
    slow = caller.send({"do": "wait_for_file", "file": str(gate)})
    for _ in range(20):
        assert caller.call({"do": "answer"}).status == "ok"
    gate.touch()
    assert caller.reply(slow).status == "ok"


def test_memory_descriptors_and_threads_stay_the_same(
    start: Start, connect: Connect
) -> None:
    process = start()
    caller = connect()

    def round_of(count: int) -> None:
        for _ in range(count // 50):
            ids = [caller.send("hello", "uppercase") for _ in range(50)]
            assert all(caller.reply(one).status == "ok" for one in ids)

    round_of(3000)
    before = process.rss_mb, process.descriptors, process.threads
    round_of(6000)
    after = process.rss_mb, process.descriptors, process.threads
    assert after[0] < 50
    assert after[0] - before[0] < 1
    assert after[1:] == before[1:]


def test_the_heartbeat_file_moves(
    start: Start, connect: Connect, tmp_path: Path
) -> None:
    file = tmp_path / "alive"
    start(HEARTBEAT_FILE=str(file))
    wait_until(file.exists, "it shows itself")
    first = os.stat(file).st_mtime_ns
    wait_until(lambda: os.stat(file).st_mtime_ns > first, "the loop turns", within=5)
