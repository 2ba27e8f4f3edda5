"""How the service stops, gracefully or not."""

import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.integration.caller import Caller, Rabbit
from tests.integration.conftest import Start
from tests.integration.waiting import lines, wait_until

Connect = Callable[[], Caller]


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_an_idle_service_stops_at_once(start: Start, signum: signal.Signals) -> None:
    process = start()
    began = time.monotonic()
    process.signal(signum)
    assert process.wait() == 0
    assert time.monotonic() - began < 3
    assert "Traceback" not in process.log


@pytest.mark.promise(
    "SEQUENCE-DIAGRAMS.md",
    "it accepts no new work, finishes running work, then closes its connections",
)
def test_sigterm_answers_running_requests_and_returns_the_rest(
    start: Start, connect: Connect, queue: str, tmp_path: Path
) -> None:
    process = start(CONCURRENCY="2")
    caller, log, gate = connect(), tmp_path / "notes", tmp_path / "gate"
    ids = [
        caller.send({"do": "wait_for_file", "file": str(gate), "note": str(log)})
        for _ in range(6)
    ]
    wait_until(lambda: len(lines(log)) == 2, "two requests run")
    process.signal(signal.SIGTERM)
    wait_until(lambda: caller.depth(queue) == 4, "the rest is back in the queue")
    late = caller.send({"note": str(log)})
    wait_until(lambda: caller.depth(queue) == 5, "it takes no further request")
    gate.touch()
    for answered in ids[:2]:
        assert caller.reply(answered).status == "ok"
    assert process.wait() == 0
    assert caller.depth(queue) == 5
    assert len(lines(log)) == 2
    start()
    for returned in (*ids[2:], late):
        assert caller.reply(returned).status == "ok"


def test_sigterm_gives_up_on_a_handler_after_the_grace_period(
    start: Start, connect: Connect, queue: str, tmp_path: Path
) -> None:
    process = start(SHUTDOWN_GRACE_SECONDS="1")
    caller, log = connect(), tmp_path / "notes"
    caller.send({"do": "block", "seconds": 60, "note": str(log)})
    wait_until(lambda: len(lines(log)) == 1, "the request runs")
    began = time.monotonic()
    process.signal(signal.SIGTERM)
    assert process.wait() == 0
    assert 1 <= time.monotonic() - began < 4
    wait_until(lambda: caller.depth(queue) == 1, "the request is back in the queue")
    assert "they will be delivered again" in process.log


@pytest.mark.promise(
    "packages/chassis/README.md", "A second signal ends the process at once."
)
@pytest.mark.promise(
    "SEQUENCE-DIAGRAMS.md", "A second SIGTERM ends the data service at once."
)
def test_a_second_signal_ends_it_at_once(
    start: Start, connect: Connect, tmp_path: Path
) -> None:
    process = start(SHUTDOWN_GRACE_SECONDS="60")
    log = tmp_path / "notes"
    connect().send({"do": "block", "seconds": 60, "note": str(log)})
    wait_until(lambda: len(lines(log)) == 1, "the request runs")
    process.signal(signal.SIGTERM)
    wait_until(lambda: "Stopping" in process.log, "it drains")
    process.signal(signal.SIGTERM)
    assert process.wait(within=3) == 128 + signal.SIGTERM


def test_sigterm_without_a_broker(launch: Start) -> None:
    process = launch(RABBITMQ_PORT="1")
    wait_until(lambda: process.losses, "it has found no broker")
    process.signal(signal.SIGTERM)
    assert process.wait(within=3) == 0


def test_sigterm_while_the_broker_hangs(start: Start, rabbitmq: Rabbit) -> None:
    process = start(RABBITMQ_HEARTBEAT_SECONDS="30")
    rabbitmq.pause()
    try:
        process.signal(signal.SIGTERM)
        assert process.wait(within=8) == 0
    finally:
        rabbitmq.resume()


@pytest.mark.promise(
    "SEQUENCE-DIAGRAMS.md", "RabbitMQ delivers the request to another process"
)
def test_a_request_of_a_killed_service_is_delivered_again(
    start: Start, connect: Connect, queue: str, tmp_path: Path
) -> None:
    first = start()
    caller, log, gate = connect(), tmp_path / "notes", tmp_path / "gate"
    request = {"do": "wait_for_file", "file": str(gate), "note": str(log)}
    correlation_id = caller.send(request)
    wait_until(lambda: len(lines(log)) == 1, "the request runs")
    first.signal(signal.SIGKILL)
    first.wait()
    gate.touch()
    start()
    assert caller.reply(correlation_id).status == "ok"
    assert len(lines(log)) == 2
    assert caller.depth(queue) == 0
    assert caller.depth(f"{queue}_dlq") == 0


def test_a_request_that_kills_the_service_is_finally_dead_lettered(
    start: Start,
    connect: Connect,
    rabbitmq: Rabbit,
    vhost: str,
    queue: str,
    tmp_path: Path,
) -> None:
    caller, log = connect(), tmp_path / "notes"
    for attempt in range(1, 5):
        process = start()
        if attempt == 1:
            caller.send({"do": "block", "seconds": 60, "note": str(log)})
        wait_until(lambda: len(lines(log)) == attempt, "the request runs again")
        process.signal(signal.SIGKILL)
        process.wait()
        wait_until(lambda: not rabbitmq.consumers(queue, vhost), "RabbitMQ notices")
    wait_until(lambda: caller.depth(f"{queue}_dlq") == 1, "it is dead-lettered")
    assert caller.depth(queue) == 0


@pytest.mark.promise("docs/RPC.md", "The broker keeps the first expiration")
def test_a_stopped_service_does_not_execute_late_requests(
    start: Start, connect: Connect, tmp_path: Path
) -> None:
    process = start(CONCURRENCY="1")
    caller, log, gate = connect(), tmp_path / "notes", tmp_path / "gate"
    running = {"do": "wait_for_file", "file": str(gate), "note": str(log)}
    caller.send(running)
    wait_until(lambda: len(lines(log)) == 1, "one request runs")
    caller.send({"note": str(log), "name": "late"}, deadline=1)
    time.sleep(0.3)  # it has been prefetched
    process.signal(signal.SIGSTOP)
    time.sleep(1.2)  # past the deadline
    process.signal(signal.SIGCONT)
    gate.touch()
    assert caller.call("quick").status == "ok"
    assert "late" not in lines(log)
    wait_until(lambda: "Dropped a late request" in process.log, "it is logged")
