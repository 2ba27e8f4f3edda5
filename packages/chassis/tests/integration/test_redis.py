"""The fallback of machines without RabbitMQ: the same RPC over kombu's Redis."""

import json
import signal
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import kombu
import pytest

from tests.integration.process import ServiceProcess
from tests.integration.waiting import wait_until

Start = Callable[[str], ServiceProcess]


class Caller:
    """Calls over kombu, as the backend does."""

    def __init__(self, url: str, queue: str) -> None:
        self._connection = kombu.Connection(url)
        self._channel = cast(Any, self._connection.channel())
        self._queue = queue
        self._reply_to = f"rpc.reply.{uuid.uuid4().hex}"
        self._channel.queue_declare(queue=self._reply_to, exclusive=True)
        self._replies: dict[str, Any] = {}
        consumer = kombu.Consumer(
            self._channel,
            [kombu.Queue(self._reply_to)],
            on_message=self._arrived,
            no_ack=True,
        )
        consumer.consume()

    def _arrived(self, message: Any) -> None:
        self._replies[message.properties["correlation_id"]] = message

    def send(self, payload: Any, description: str = "", deadline: float = 60) -> str:
        correlation_id = uuid.uuid4().hex
        self._channel.basic_publish(
            self._channel.prepare_message(
                json.dumps({"payload": payload, "description": description}).encode(),
                content_type="application/json",
                content_encoding="utf-8",
                headers={"x-deadline": int((time.time() + deadline) * 1000)},
                properties={
                    "correlation_id": correlation_id,
                    "reply_to": self._reply_to,
                },
            ),
            exchange="",
            routing_key=self._queue,
        )
        return correlation_id

    def reply(self, correlation_id: str) -> tuple[dict[str, Any], Any]:
        until = time.monotonic() + 10
        while correlation_id not in self._replies:
            assert time.monotonic() < until, "no reply"
            try:
                self._connection.drain_events(timeout=0.5)
            except TimeoutError:
                pass
        message = self._replies.pop(correlation_id)
        return message.headers, json.loads(message.body)

    def depth(self) -> int:
        return int(self._channel._size(self._queue))

    def close(self) -> None:
        self._connection.release()


@pytest.fixture
def url(redis_server: Any) -> str:
    return f"redis://127.0.0.1:{redis_server.port}/0"


@pytest.fixture
def queue() -> str:
    return f"queue_{uuid.uuid4().hex[:8]}"


@pytest.fixture
def caller(url: str, queue: str) -> Iterator[Caller]:
    caller = Caller(url, queue)
    yield caller
    caller.close()


@pytest.fixture
def start(url: str, queue: str, tmp_path: Path) -> Iterator[Start]:
    started: list[ServiceProcess] = []

    def start(service: str) -> ServiceProcess:
        env = {"RPC_BROKER_URL": url, "QUEUE_NAME": queue, "CONCURRENCY": "4"}
        log = tmp_path / f"service-{len(started)}.log"
        process = ServiceProcess(service, env, log)
        started.append(process)
        wait_until(lambda: "receiving on" in process.log, "it consumes")
        return process

    yield start
    for process in started:
        process.kill()


def test_round_trip_and_stop(start: Start, caller: Caller) -> None:
    process = start("main")
    ids = [caller.send(f"number {n}", "uppercase") for n in range(100)]
    for n, correlation_id in enumerate(ids):
        headers, body = caller.reply(correlation_id)
        assert (headers["x-status"], body["output"]) == ("ok", f"NUMBER {n}")
    process.signal(signal.SIGTERM)
    assert process.wait() == 0
    assert "Traceback" not in process.log
    assert caller.depth() == 0


def test_an_idle_service_costs_little(start: Start, caller: Caller) -> None:
    process = start("main")
    caller.reply(caller.send("warm"))
    cpu = process.cpu_seconds
    time.sleep(2)
    assert process.cpu_seconds - cpu < 0.2


def test_a_failing_handler_is_answered_once_and_not_repeated(
    start: Start, caller: Caller, tmp_path: Path
) -> None:
    start("probe")
    log = tmp_path / "notes"
    headers, body = caller.reply(caller.send({"do": "fail", "note": str(log)}))
    assert (headers["x-status"], body["code"]) == ("error", "internal_error")
    headers, body = caller.reply(caller.send({"do": "answer"}))
    assert headers["x-status"] == "ok"
    assert len(log.read_text().splitlines()) == 1
    assert caller.depth() == 0


def test_a_stale_request_is_not_executed(
    start: Start, caller: Caller, tmp_path: Path
) -> None:
    start("probe")
    log = tmp_path / "notes"
    caller.send({"do": "answer", "note": str(log)}, deadline=-1)
    caller.reply(caller.send({"do": "answer"}))
    assert not log.exists()


def test_sigterm_returns_what_it_has_not_begun(
    start: Start, caller: Caller, tmp_path: Path
) -> None:
    process = start("probe")
    log, gate = tmp_path / "notes", tmp_path / "gate"
    request = {"do": "wait_for_file", "file": str(gate), "note": str(log)}
    ids = [caller.send(request) for _ in range(10)]
    running = 4
    wait_until(
        lambda: log.exists() and len(log.read_text().splitlines()) == running,
        "as many requests run as there are threads",
    )
    process.signal(signal.SIGTERM)
    wait_until(lambda: caller.depth() == len(ids) - running, "the rest is back")
    gate.touch()
    assert process.wait() == 0
    start("probe")
    for correlation_id in ids:
        assert caller.reply(correlation_id)[0]["x-status"] == "ok"


def test_redis_restarted(start: Start, redis_server: Any, url: str, queue: str) -> None:
    process = start("main")
    redis_server.kill()
    try:
        wait_until(lambda: "lost " in process.log, "the loss is noticed")
    finally:
        redis_server.start()
    again = Caller(url, queue)
    try:
        assert again.reply(again.send("after"))[0]["x-status"] == "ok"
    finally:
        again.close()
