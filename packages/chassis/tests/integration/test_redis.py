"""The fallback for machines without RabbitMQ: the same RPC over kombu's Redis
transport."""

import json
import signal
import ssl
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import kombu
import pytest
from pydantic import SecretStr

from chassis.errors import DeadlineExceeded, ServiceError, ServiceFailed
from chassis.rpc.producers import EventProducer
from chassis.settings import RabbitMQSettings, RpcSettings
from tests.integration.process import ServiceProcess
from tests.integration.proxy import Proxy
from tests.integration.waiting import lines, wait_until

Start = Callable[[], ServiceProcess]


class Caller:
    """Calls over kombu, following the contract."""

    def __init__(self, server: Any, queue: str) -> None:
        self._server = server
        self._connection = kombu.Connection(server.url(0))
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

    def send(self, payload: Any, *, left: float = 60, waited: float = 0) -> str:
        """Publish a request that was sent ``waited`` seconds ago with ``left`` seconds
        left."""
        correlation_id = uuid.uuid4().hex
        self._channel.basic_publish(
            self._channel.prepare_message(
                json.dumps({"payload": payload, "description": None}).encode(),
                content_type="application/json",
                content_encoding="utf-8",
                headers={
                    "x-time-left": int(left * 1000),
                    "x-sent-at": int((time.time() - waited) * 1000),
                },
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
        with self._server.connect() as client:
            return int(client.llen(self._queue))

    def close(self) -> None:
        self._connection.release()


@pytest.fixture
def caller(redis_server: Any, queue: str) -> Iterator[Caller]:
    caller = Caller(redis_server, queue)
    yield caller
    caller.close()


@pytest.fixture
def start(redis_server: Any, queue: str, tmp_path: Path) -> Iterator[Start]:
    started: list[ServiceProcess] = []

    def start() -> ServiceProcess:
        env = {"RPC_BROKER_URL": redis_server.url(0), "QUEUE_NAME": queue}
        log = tmp_path / f"service-{len(started)}.log"
        process = ServiceProcess({**env, "CONCURRENCY": "4"}, log)
        started.append(process)
        wait_until(lambda: "Connected to the queue" in process.log, "it consumes")
        return process

    yield start
    for process in started:
        process.kill()


def test_round_trip_and_stop(start: Start, caller: Caller) -> None:
    process = start()
    ids = [caller.send(f"number {n}") for n in range(100)]
    for n, correlation_id in enumerate(ids):
        headers, body = caller.reply(correlation_id)
        assert (headers["x-status"], body["output"]) == ("ok", f"number {n}")
    process.signal(signal.SIGTERM)
    assert process.wait() == 0
    assert "Traceback" not in process.log
    assert caller.depth() == 0


def test_an_idle_service_costs_little(start: Start, caller: Caller) -> None:
    process = start()
    caller.reply(caller.send("warm"))
    cpu = process.cpu_seconds
    time.sleep(2)
    assert process.cpu_seconds - cpu < 0.2


@pytest.mark.promise(
    "docs/RPC.md", "A request whose handler fails gets `internal_error` and is dropped."
)
def test_a_failed_request_is_answered_once_and_not_repeated(
    start: Start, caller: Caller, tmp_path: Path
) -> None:
    start()
    log = tmp_path / "notes"
    headers, body = caller.reply(caller.send({"do": "fail", "note": str(log)}))
    assert (headers["x-status"], body["code"]) == ("error", "internal_error")
    headers, body = caller.reply(caller.send("quick"))
    assert headers["x-status"] == "ok"
    assert len(lines(log)) == 1
    assert caller.depth() == 0


@pytest.mark.parametrize(("left", "waited"), [(-1, 0), (1, 1.5)])
def test_a_late_request_is_not_executed(
    start: Start, caller: Caller, tmp_path: Path, left: float, waited: float
) -> None:
    """Redis does not drop requests that waited too long: the service does."""
    start()
    log = tmp_path / "notes"
    caller.send({"note": str(log)}, left=left, waited=waited)
    caller.reply(caller.send("quick"))
    assert not log.exists()


def test_sigterm_returns_requests_that_have_not_begun(
    start: Start, caller: Caller, tmp_path: Path
) -> None:
    process = start()
    log, gate = tmp_path / "notes", tmp_path / "gate"
    request = {"do": "wait_for_file", "file": str(gate), "note": str(log)}
    ids = [caller.send(request) for _ in range(10)]
    running = 4
    wait_until(
        lambda: len(lines(log)) == running,
        "as many requests run as there are threads",
    )
    process.signal(signal.SIGTERM)
    wait_until(lambda: caller.depth() == len(ids) - running, "the rest is back")
    gate.touch()
    assert process.wait() == 0
    start()
    for correlation_id in ids:
        assert caller.reply(correlation_id)[0]["x-status"] == "ok"


def test_redis_restarted(start: Start, redis_server: Any, queue: str) -> None:
    process = start()
    redis_server.kill()
    try:
        wait_until(lambda: process.losses, "the loss is noticed")
    finally:
        redis_server.start()
    again = Caller(redis_server, queue)
    try:
        assert again.reply(again.send("after"))[0]["x-status"] == "ok"
    finally:
        again.close()


def refusals(client: Any) -> int:
    """How many commands Redis refused because they had no password."""
    return int(client.info("errorstats")["errorstat_NOAUTH"]["count"])


def test_a_wrong_password_is_logged_once_with_advice(
    redis_server: Any, queue: str, tmp_path: Path
) -> None:
    env = {"RPC_BROKER_URL": redis_server.url(0), "QUEUE_NAME": queue}
    with redis_server.connect() as client:
        client.config_set("requirepass", "sesame")
        try:
            with ServiceProcess(env, tmp_path / "service.log") as process:
                wait_until(lambda: "check RPC_BROKER_URL" in process.log, "it is told")
                begun = refusals(client)
                wait_until(lambda: refusals(client) >= begun + 3, "more attempts")
                assert process.log.lower().count("no connection to") == 1
                assert "Traceback" not in process.log
        finally:
            client.config_set("requirepass", "")


@pytest.fixture
def producer(redis_server: Any) -> Iterator[EventProducer]:
    rpc = RpcSettings(broker_url=SecretStr(redis_server.url(0)), timeout_seconds=10)
    producer = EventProducer.connect(RabbitMQSettings(), rpc)
    yield producer
    producer.close()


def test_the_chassis_calls_itself_over_redis(
    start: Start, producer: EventProducer, queue: str
) -> None:
    start()
    for number in range(50):
        reply = producer.call(queue, {"payload": number}, correlation_id="r-1")
        assert reply.outcome == {"output": number, "request_id": "r-1"}
    with pytest.raises(ServiceError, match="reason"):
        producer.call(queue, {"payload": {"do": "refuse"}})
    with pytest.raises(ServiceFailed):
        producer.call(queue, {"payload": {"do": "fail"}})
    with pytest.raises(DeadlineExceeded):
        producer.call(f"{queue}_nobody", {}, timeout=0.3)
    assert producer.client.in_flight == 0
    assert producer.client.system == "redis"


@pytest.mark.parametrize("is_known", [True, False])
def test_tls_verifies_certificates(
    redis_server: Any, tls: ssl.SSLContext, certificate: Path, is_known: bool
) -> None:
    with Proxy("127.0.0.1", redis_server.port, tls) as proxy:
        rpc = RpcSettings(broker_url=SecretStr(f"rediss://localhost:{proxy.port}/0"))
        ca_file = str(certificate) if is_known else None
        producer = EventProducer.connect(RabbitMQSettings(ssl_ca_file=ca_file), rpc)
        assert producer.client.wait_connected(1 if not is_known else 10) is is_known
        producer.close()


@pytest.mark.promise("docs/RPC.md", "both sides take the time from Redis")
@pytest.mark.parametrize("seconds", [-40, 40])
def test_clocks_of_caller_and_service_may_differ(
    redis_server: Any,
    start: Start,
    queue: str,
    monkeypatch: pytest.MonkeyPatch,
    seconds: int,
) -> None:
    start()
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + seconds)
    rpc = RpcSettings(broker_url=SecretStr(redis_server.url(0)), timeout_seconds=10)
    producer = EventProducer.connect(RabbitMQSettings(), rpc)
    try:
        assert producer.call(queue, {"payload": "hello"}).outcome["output"] == "hello"
    finally:
        producer.close()
