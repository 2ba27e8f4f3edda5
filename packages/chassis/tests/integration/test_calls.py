"""Calls over a real broker: answers, refusals, limits."""

import asyncio
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from kombu import Queue
from kombu.message import Message

from chassis.errors import (
    BrokerUnavailable,
    DeadlineExceeded,
    NoConsumer,
    QueueFull,
    ServiceError,
    TooManyInFlight,
    Unavailable,
)
from chassis.rpc.client import RpcClient
from chassis.rpc.producers import AsyncEventProducer, EventProducer, LogEvent
from chassis.settings import RabbitMQSettings, RpcSettings
from tests.integration.responder import Responder, connect
from tests.integration.waiting import wait_until


@pytest.fixture
def producer(client: RpcClient) -> EventProducer:
    return EventProducer(client, timeout=5)


def test_a_call_is_answered(producer: EventProducer, responder: Responder) -> None:
    reply = producer.call(responder.queue, {"payload": "日本語"})
    assert reply.outcome == {"payload": "日本語"}
    assert reply.task_type == "echo"


def test_the_request_follows_the_contract(
    producer: EventProducer, responder: Responder
) -> None:
    before = time.time()
    producer.call(
        responder.queue, {"payload": 1}, task_id="t", correlation_id="r", timeout=3
    )
    (message,) = responder.requests
    assert message.content_type == "application/json"
    assert message.headers["x-request-id"] == "r"
    assert message.headers["x-task-id"] == "t"
    headers: dict[str, Any] = message.headers
    assert 2000 < headers["x-time-left"] <= 3000
    assert message.properties["expiration"] == str(headers["x-time-left"])
    assert before - 0.001 <= headers["x-sent-at"] / 1000 <= time.time()
    assert message.properties["correlation_id"].startswith("r#")


def test_threads_share_the_connection(
    producer: EventProducer, responder: Responder
) -> None:
    with ThreadPoolExecutor(16) as threads:
        replies = threads.map(
            lambda n: producer.call(responder.queue, {"n": n}).outcome, range(500)
        )
        assert list(replies) == [{"n": n} for n in range(500)]
    assert producer.client.in_flight == 0


async def test_the_loop_shares_the_connection(
    client: RpcClient, responder: Responder
) -> None:
    producer = AsyncEventProducer(client, timeout=10)
    calls = (
        producer.call(responder.queue, {"n": n}, task_id="t", correlation_id="same")
        for n in range(400)
    )
    replies = await asyncio.gather(*calls)
    assert [reply.outcome for reply in replies] == [{"n": n} for n in range(400)]


@pytest.mark.promise("docs/RPC.md", "the queue does not exist")
def test_a_call_without_its_queue_fails_at_once(producer: EventProducer) -> None:
    started = time.monotonic()
    with pytest.raises(NoConsumer):
        producer.call("nobody-declared-this", {})
    assert time.monotonic() - started < 5  # the call has 10 s


def depth(queue: Queue) -> int:
    state: Any = queue.queue_declare(passive=True)
    return int(state.message_count)


@pytest.mark.promise(
    "ARCHITECTURE.md",
    "When it is full, the broker rejects requests, and callers get a 503 with "
    "`Retry-After`.",
)
def test_a_full_queue_refuses(
    producer: EventProducer, rabbitmq_settings: RabbitMQSettings
) -> None:
    arguments = {"x-max-length": 1, "x-overflow": "reject-publish"}
    with connect(rabbitmq_settings) as connection:
        queue = Queue("full", durable=True, queue_arguments=arguments)
        queue = queue(connection.channel())
        queue.declare()
        try:
            connection.Producer().publish({}, routing_key="full")
            wait_until(lambda: depth(queue) == 1)
            with pytest.raises(QueueFull):
                producer.call("full", {})
        finally:
            queue.delete()
    assert producer.client.connected


@pytest.mark.promise("docs/RPC.md", "the service refuses the values")
def test_a_refusal_of_the_service(
    producer: EventProducer, responder: Responder
) -> None:
    responder.headers = {"x-status": "error"}
    with pytest.raises(ServiceError) as refused:
        producer.call(responder.queue, {"code": "odd", "message": "why"})
    assert (refused.value.code, refused.value.detail) == ("odd", "why")


@pytest.mark.promise("docs/RPC.md", "no answer within `RPC_TIMEOUT_SECONDS`")
@pytest.mark.promise(
    "ARCHITECTURE.md",
    "Every call ends: with a reply, a broker error, its deadline, or the loss of "
    "the connection.",
)
def test_no_answer_by_the_deadline(
    producer: EventProducer, responder: Responder
) -> None:
    responder.before_reply = lambda _: False
    events: list[LogEvent] = []
    started = time.monotonic()
    with pytest.raises(DeadlineExceeded):
        producer.call(responder.queue, {}, timeout=0.5, on_log_event=events.append)
    assert 0.5 <= time.monotonic() - started < 5
    assert [event.status for event in events] == ["start", "deadline_exceeded"]
    assert producer.client.statistics.timeouts == 1


def test_only_a_slow_call_is_reported_as_slow(
    producer: EventProducer, responder: Responder
) -> None:
    told = threading.Event()
    producer.call(responder.queue, {})  # opens the connection
    producer.call(responder.queue, {}, on_slow=told.set)
    assert not told.is_set()
    responder.before_reply = lambda _: told.wait(5)
    producer.call(responder.queue, {}, on_slow=told.set)
    assert told.is_set()


@pytest.mark.promise("docs/RPC.md", "a reply is late, duplicate or unexpected")
def test_a_late_reply_is_dropped_and_counted(
    producer: EventProducer, responder: Responder
) -> None:
    go_on = threading.Event()

    def wait(_: Message) -> bool:
        return go_on.wait(5)

    responder.before_reply = wait
    with pytest.raises(DeadlineExceeded):
        producer.call(responder.queue, {"n": 1}, correlation_id="same", timeout=0.3)
    responder.before_reply = lambda _: True
    go_on.set()
    reply = producer.call(responder.queue, {"n": 2}, correlation_id="same")
    assert reply.outcome == {"n": 2}
    assert producer.client.statistics.dropped_replies == 1


@pytest.mark.promise("docs/RPC.md", "calls are pending in this process")
@pytest.mark.budget("RPC_MAX_IN_FLIGHT")
def test_calls_in_flight_are_bounded(
    new_client: Callable[..., RpcClient], responder: Responder
) -> None:
    client = new_client(RpcSettings(max_in_flight=3))
    go_on = threading.Event()
    responder.before_reply = lambda _: go_on.wait(5)
    producer = EventProducer(client, timeout=5)
    with ThreadPoolExecutor(3) as threads:
        calls = [threads.submit(producer.call, responder.queue, {}) for _ in range(3)]
        wait_until(lambda: client.in_flight == 3)
        waits = []
        for _ in range(3):
            started = time.monotonic()
            with pytest.raises(TooManyInFlight):
                producer.call(responder.queue, {})
            waits.append(time.monotonic() - started)
        assert min(waits) < 0.1  # this machine may be busy at times
        go_on.set()
        for call in calls:
            call.result()
    assert producer.call(responder.queue, {}).outcome == {}


@pytest.mark.promise("docs/RPC.md", "the caller goes away")
async def test_a_cancelled_call_is_forgotten(
    client: RpcClient, responder: Responder
) -> None:
    go_on = threading.Event()
    responder.before_reply = lambda _: go_on.wait(5)
    producer = AsyncEventProducer(client, timeout=30)
    call = asyncio.create_task(
        producer.call(responder.queue, {}, task_id="t", correlation_id="r")
    )
    while not responder.requests:
        await asyncio.sleep(0.01)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert client.in_flight == 0
    go_on.set()
    await asyncio.to_thread(wait_until, lambda: client.statistics.dropped_replies == 1)


@pytest.mark.promise(
    "ARCHITECTURE.md",
    "Every call ends: with a reply, a broker error, its deadline, or the loss of "
    "the connection.",
)
def test_closing_ends_pending_calls(
    new_client: Callable[..., RpcClient], responder: Responder
) -> None:
    client = new_client()
    responder.before_reply = lambda _: False
    producer = EventProducer(client, timeout=30)
    with ThreadPoolExecutor(1) as threads:
        call = threads.submit(producer.call, responder.queue, {})
        wait_until(lambda: client.in_flight == 1)
        started = time.monotonic()
        producer.close()
        assert time.monotonic() - started < 2
        with pytest.raises(Unavailable):  # the outcome of sent calls is unknown
            call.result(1)
    with pytest.raises(BrokerUnavailable):
        producer.call(responder.queue, {}, timeout=0.1)
