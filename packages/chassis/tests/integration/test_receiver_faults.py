"""What a service does when the broker or the network in front of it breaks."""

import json
import time
import urllib.request
from base64 import b64encode
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import amqp
import pytest

from local.tests.troubleshooting import explanation
from tests.integration.caller import Caller, Rabbit
from tests.integration.conftest import Start
from tests.integration.proxy import Proxy
from tests.integration.waiting import lines, wait_until

Connect = Callable[[], Caller]


def test_broker_killed_and_restarted(
    start: Start,
    launch: Start,
    connect: Connect,
    rabbitmq: Rabbit,
    vhost: str,
    queue: str,
) -> None:
    """A service that starts while its broker is down waits for it, too."""
    process, other = start(), f"{queue}_other"
    assert connect().call("before").status == "ok"
    before = process.descriptors, process.threads
    rabbitmq.crash()
    try:
        wait_until(lambda: process.losses, "the loss is noticed", within=5)
        early = launch(QUEUE_NAME=other)
        wait_until(lambda: early.losses, "it has found no broker")
    finally:
        rabbitmq.start()
    for name in (queue, other):
        wait_until(lambda: rabbitmq.consumers(name, vhost) == 1, "it consumes")
        with Caller(rabbitmq, vhost, name) as caller:
            assert caller.call("after").status == "ok"
    assert (process.descriptors, process.threads) == before


def test_broker_stopped_beyond_two_heartbeats_and_continued(
    start: Start, connect: Connect, rabbitmq: Rabbit, vhost: str, queue: str
) -> None:
    process = start(RABBITMQ_HEARTBEAT_SECONDS="1")
    rabbitmq.pause()
    try:
        wait_until(lambda: process.losses, "the silence is noticed", within=8)
        cpu = process.cpu_seconds
        time.sleep(2)
        assert process.cpu_seconds - cpu < 0.3
    finally:
        rabbitmq.resume()
    wait_until(lambda: rabbitmq.consumers(queue, vhost) == 1, "it consumes again")
    assert connect().call("after").status == "ok"


def test_connection_closed_by_the_server(
    start: Start, connect: Connect, rabbitmq: Any, vhost: str, queue: str
) -> None:
    process = start(SERVICE_NAME="closed")

    def api(method: str, path: str) -> bytes:
        credentials = b64encode(f"{rabbitmq.user}:{rabbitmq.password}".encode())
        request = urllib.request.Request(
            f"{rabbitmq.management_url}/api/{path}",
            method=method,
            headers={"Authorization": f"Basic {credentials.decode()}"},
        )
        with urllib.request.urlopen(request, timeout=10) as answer:
            return bytes(answer.read())

    def connections() -> list[str]:
        return [
            connection["name"]
            for connection in json.loads(api("GET", "connections"))
            if connection.get("user_provided_name", "").startswith("closed@")
        ]

    wait_until(connections, "the management API knows the connection")
    for name in connections():
        api("DELETE", f"connections/{quote(name, safe='')}")
    wait_until(lambda: process.losses, "the loss is noticed", within=5)
    wait_until(lambda: rabbitmq.consumers(queue, vhost) == 1, "it consumes again")
    assert connect().call("after").status == "ok"
    assert "Traceback" not in process.log


def test_a_deleted_queue_is_declared_again(
    start: Start, connect: Connect, rabbitmq: Any, vhost: str, queue: str
) -> None:
    process = start()
    with rabbitmq.connect(vhost) as connection:
        connection.channel().queue_delete(queue)
    wait_until(lambda: process.losses, "the loss is noticed", within=5)
    wait_until(lambda: rabbitmq.consumers(queue, vhost) == 1, "it consumes again")
    assert connect().call("after").status == "ok"


@pytest.mark.parametrize("suffix", ["", "_dlq"])
def test_a_queue_with_other_arguments_is_logged_until_deleted(
    launch: Start,
    connect: Connect,
    rabbitmq: Any,
    vhost: str,
    queue: str,
    suffix: str,
) -> None:
    name = queue + suffix
    with rabbitmq.connect(vhost) as connection:
        channel = connection.channel()
        channel.queue_declare(name, durable=True, auto_delete=False)
        process = launch()
        wait_until(lambda: process.losses, "the mismatch is noticed")
        assert f"queue '{name}' exists with other arguments" in process.log
        assert "QUEUE_NAME" in process.log
        assert explanation(process.log)
        assert "Traceback" not in process.log
        channel.queue_delete(name)
    wait_until(lambda: rabbitmq.consumers(queue, vhost) == 1, "it consumes")
    assert process.losses == 1
    assert connect().call("after").status == "ok"


@pytest.mark.parametrize("work", ["block", "compute"])
def test_long_handlers_keep_the_connection(
    start: Start, connect: Connect, work: str
) -> None:
    """The broker gives up after two heartbeats. One of 1 s is short if it is busy."""
    process = start(RABBITMQ_HEARTBEAT_SECONDS="2", CONCURRENCY="4")
    caller = connect()
    ids = [caller.send({"do": work, "seconds": 5}) for _ in range(4)]
    for correlation_id in ids:
        assert caller.reply(correlation_id).status == "ok"
    assert process.losses == 0


def test_results_outlive_their_connection(
    start: Start, connect: Connect, proxy: Proxy, queue: str, tmp_path: Path
) -> None:
    """The reply goes over the new connection; the old delivery is not settled."""
    process = start(RABBITMQ_PORT=str(proxy.port))
    caller, log, gate = connect(), tmp_path / "notes", tmp_path / "gate"
    request = {"do": "wait_for_file", "file": str(gate), "note": str(log)}
    correlation_id = caller.send(request)
    wait_until(lambda: len(lines(log)) == 1, "the request runs")
    proxy.cut()
    wait_until(
        lambda: len(lines(log)) == 2, "it is delivered again, while it still runs"
    )
    gate.touch()
    assert caller.reply(correlation_id).status == "ok"
    assert caller.reply(correlation_id).status == "ok"
    assert caller.call("quick").status == "ok"
    assert process.losses == 1
    assert caller.depth(f"{queue}_dlq") == 0


def test_many_reconnections_leak_nothing(
    start: Start, connect: Connect, proxy: Proxy
) -> None:
    process = start(RABBITMQ_PORT=str(proxy.port))
    caller = connect()
    assert caller.call("first").status == "ok"
    before = process.descriptors, process.threads
    for _ in range(5):
        proxy.cut()
        assert caller.call("again").status == "ok"
    assert (process.descriptors, process.threads) == before
    assert proxy.accepted == 6


def test_single_bytes_cause_no_busy_loop(
    start: Start, connect: Connect, proxy: Proxy
) -> None:
    process = start(RABBITMQ_PORT=str(proxy.port))
    caller = connect()
    assert caller.call("warm").status == "ok"
    proxy.trickle = True
    began, cpu = time.monotonic(), process.cpu_seconds
    for _ in range(3):
        assert caller.call("one by one").status == "ok"
    spent, took = process.cpu_seconds - cpu, time.monotonic() - began
    assert took > 0.3  # otherwise nothing arrived byte by byte
    assert spent < 0.3 * took


def test_half_a_frame_causes_no_busy_loop(
    start: Start, connect: Connect, proxy: Proxy
) -> None:
    process = start(RABBITMQ_PORT=str(proxy.port))
    caller = connect()
    assert caller.call("warm").status == "ok"
    proxy.stall(spill=30)
    correlation_id = caller.send("half")
    cpu = process.cpu_seconds
    time.sleep(2)
    assert process.cpu_seconds - cpu < 0.1
    proxy.flowing.set()
    assert caller.reply(correlation_id).body["output"] == "half"
    assert process.losses == 0


def test_a_message_that_cannot_be_parsed_does_not_stop_the_others(
    start: Start, connect: Connect, rabbitmq: Any, vhost: str, queue: str
) -> None:
    """The client library fails on such a message until the broker's delivery limit
    removes it."""
    process = start()
    with rabbitmq.connect(vhost) as connection:
        message = amqp.Message(b"{}", correlation_id=b"\xff not UTF-8")
        connection.channel().basic_publish(message, routing_key=queue)
    caller = connect()
    wait_until(lambda: caller.depth(f"{queue}_dlq") == 1, "it is dead-lettered")
    assert caller.call("after").status == "ok"
    wait_until(lambda: "UnicodeDecodeError" in process.log, "it is logged")


@pytest.mark.promise(
    "docs/RPC.md",
    "So a request that ends the process reaches the dead-letter queue without its"
    " neighbours.",
)
def test_a_request_that_ends_the_process_takes_no_other_along(
    launch: Start, connect: Connect, queue: str
) -> None:
    caller = connect()
    processes = [launch(CONCURRENCY="8"), launch(CONCURRENCY="8")]
    wait_until(lambda: all("Connected" in each.log for each in processes), "they run")
    slow = {"do": "block", "seconds": 0.3}
    sent = [caller.send(slow) for _ in range(6)]
    caller.send({"do": "exit", "seconds": 0.1})
    sent += [caller.send(slow) for _ in range(6)]

    def supervise() -> bool:
        """Restart what ended, until the guilty request is dead-lettered."""
        for place, process in enumerate(processes):
            if process.has_ended:
                processes[place] = launch(CONCURRENCY="8")
        return caller.depth(f"{queue}_dlq") > 0

    wait_until(supervise, "it is dead-lettered", within=60)
    assert all(caller.reply(each).status == "ok" for each in sent)
    assert json.loads(caller.take(f"{queue}_dlq").body)["payload"]["do"] == "exit"
    assert caller.take(f"{queue}_dlq") is None
