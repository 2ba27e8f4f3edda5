"""A healthy service, as a caller sees it."""

import json
import os
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from chassis.rpc.receiver import EventReceiver
from tests.integration.caller import Caller, Rabbit
from tests.integration.conftest import Start
from tests.integration.waiting import lines, wait_until

Connect = Callable[[], Caller]


PAYLOADS: list[Any] = [
    *("hello", "héllo 😀", 10**999, -2.5, [1, "a"], {"a": 1}, False, None),
    ["ä"] * 50_000,  # many frames
]

NO_REQUESTS = [
    *(b"", b"no json", b"\xff\xfe", b'{"payload": NaN}'),
    b"[" * 5000 + b"]" * 5000,
    b'{"payload": ' + b"7" * 5000 + b"}",
]


def test_requests_are_answered(start: Start, connect: Connect) -> None:
    start()
    caller = connect()
    ids = [caller.send(payload) for payload in PAYLOADS]
    for call_id, payload in zip(ids, PAYLOADS, strict=True):
        reply = caller.reply(call_id)
        assert (reply.status, reply.headers["x-task-type"]) == ("ok", "probe")
        assert reply.body["output"] == payload
        assert reply.body["request_id"] == call_id
        assert reply.properties["content_type"] == "application/json"
        assert reply.properties["content_encoding"] == "utf-8"
        assert reply.properties["delivery_mode"] == 1


def test_refusals_are_answers(start: Start, connect: Connect, queue: str) -> None:
    start()
    caller = connect()
    reply = caller.call({"do": "refuse"})
    assert reply.status == "error"
    assert reply.body == {"code": "told_to_refuse", "message": "reason"}
    assert caller.call("still here").status == "ok"
    assert caller.depth(queue) == 0
    assert caller.depth(f"{queue}_dlq") == 0


def test_invalid_requests_are_dead_lettered_at_once(
    start: Start, connect: Connect, queue: str
) -> None:
    start()
    caller = connect()
    for body in NO_REQUESTS:
        reply = caller.call(None, body=body)
        assert (reply.status, reply.body["code"]) == ("error", "invalid_request")
        caller.send("x", body=body, reply_to="")
    caller.send("x", reply_to="")
    dead = 2 * len(NO_REQUESTS) + 1
    wait_until(lambda: caller.depth(f"{queue}_dlq") == dead, "all are dead-lettered")
    assert caller.call("still here").status == "ok"


@pytest.mark.promise(
    "ARCHITECTURE.md",
    "When its handler fails three times, the request becomes a dead letter in "
    "`data_queue_dlq`.",
)
def test_poison_is_dead_lettered_at_the_limit_while_others_flow(
    start: Start, connect: Connect, queue: str, tmp_path: Path
) -> None:
    service = start()
    caller, log = connect(), tmp_path / "notes"
    poison = [
        caller.send({"do": "fail", "note": str(log), "name": f"poison-{number}"})
        for number in range(3)
    ]
    others = [caller.send("quick") for _ in range(50)]
    for other in others:
        assert caller.reply(other).status == "ok"
    for correlation_id in poison:
        reply = caller.reply(correlation_id)
        assert (reply.status, reply.body["code"]) == ("error", "internal_error")
        assert "told to fail" not in json.dumps(reply.body)
    dead_letters = f"{queue}_dlq"
    wait_until(lambda: caller.depth(dead_letters) == 3, "poison is dead-lettered")
    runs = Counter(lines(log))
    # RabbitMQ 3.10 may close a connection with INTERNAL_ERROR that has just begun to
    # consume, and deliver again what ran there.
    most = 3 + service.losses
    assert runs.keys() == {f"poison-{number}" for number in range(3)}
    assert all(3 <= count <= most for count in runs.values())
    dead = caller.take(dead_letters)
    assert json.loads(dead.body)["payload"]["do"] == "fail"
    assert dead.headers["x-first-death-queue"] == queue
    assert caller.depth(queue) == 0


@pytest.mark.promise(
    "ARCHITECTURE.md",
    "The broker drops a request that no service takes in time. The service drops "
    "a request that it takes too late.",
)
def test_a_late_request_is_not_executed(
    start: Start, connect: Connect, queue: str, tmp_path: Path
) -> None:
    process = start()
    caller, log = connect(), tmp_path / "notes"
    caller.send({"note": str(log), "name": "late"}, deadline=-1)
    fresh = caller.send({"note": str(log), "name": "fresh"})
    assert caller.reply(fresh).status == "ok"
    assert lines(log) == ["fresh"]
    wait_until(lambda: caller.depth(queue) == 0, "the queue is empty")
    assert caller.depth(f"{queue}_dlq") == 0
    wait_until(lambda: "Dropped a late request" in process.log, "it is logged")


def test_slow_requests_do_not_delay_quick_ones(
    start: Start, connect: Connect, tmp_path: Path
) -> None:
    start(CONCURRENCY="4")
    caller, gate = connect(), tmp_path / "gate"
    slow = caller.send({"do": "wait_for_file", "file": str(gate)})
    for _ in range(20):
        assert caller.call("quick").status == "ok"
    gate.touch()
    assert caller.reply(slow).status == "ok"


def test_memory_descriptors_and_threads_stay_the_same(
    start: Start, connect: Connect
) -> None:
    process = start()
    caller = connect()

    def round_of(count: int) -> None:
        for _ in range(count // 50):
            ids = [caller.send("hello") for _ in range(50)]
            assert all(caller.reply(one).status == "ok" for one in ids)

    round_of(2000)
    before = process.rss_mb, process.descriptors, process.threads
    round_of(4000)
    after = process.rss_mb, process.descriptors, process.threads
    assert after[0] < 50
    assert after[0] - before[0] < 1
    assert after[1:] == before[1:]


def test_the_heartbeat_file_is_updated(
    start: Start, connect: Connect, tmp_path: Path
) -> None:
    file = tmp_path / "alive"
    start(HEARTBEAT_FILE=str(file))
    wait_until(file.exists, "it shows itself")
    first = os.stat(file).st_mtime_ns
    wait_until(lambda: os.stat(file).st_mtime_ns > first, "the loop turns", within=5)


class Echo:
    def call(self, data: str) -> tuple[str, str]:
        return json.dumps(json.loads(data)["payload"]), "echo"


def test_a_receiver_within_a_process(
    rabbitmq: Rabbit,
    vhost: str,
    queue: str,
    connect: Connect,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It uses the arguments of the contract; the process handles signals itself."""
    monkeypatch.setenv("RABBITMQ_VHOST", vhost)
    receiver = EventReceiver(
        username=rabbitmq.user,
        password=rabbitmq.password,
        host=rabbitmq.host,
        port=rabbitmq.port,
        queue_name=queue,
        service=Echo,
        service_name="echo",
    )
    before = threading.active_count()
    thread = threading.Thread(target=receiver.run)
    thread.start()
    wait_until(lambda: rabbitmq.consumers(queue, vhost) == 1, "it consumes")
    assert connect().call("hello").body == "hello"
    receiver.stop()
    thread.join(10)
    assert not thread.is_alive()
    wait_until(lambda: threading.active_count() < before, "its threads end")
