"""Calls before they reach a broker."""

import asyncio
import time
from collections import deque
from collections.abc import Iterator
from datetime import UTC
from decimal import Decimal
from typing import Any, cast

import pytest
from pydantic import BaseModel

from chassis.calls import call_service, get_queue_name, set_event_producer
from chassis.context import (
    current_deadline,
    current_principal,
    current_request_id,
)
from chassis.errors import BrokerUnavailable, DeadlineExceeded
from chassis.queues import PATTERN, get_service_name
from chassis.rpc.call import Call
from chassis.rpc.client import RpcClient
from chassis.rpc.producers import (
    CONNECT_WAIT,
    AsyncEventProducer,
    EventProducer,
    LogEvent,
)
from chassis.rpc.wire import Reply


class FakeClient:
    """Answers each call at once with its body."""

    system = "rabbitmq"

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.is_connected = True
        self.waits: list[float] = []

    def start(self) -> None: ...

    def wait_connected(self, timeout: float) -> bool:
        self.waits.append(round(timeout, 1))
        return self.is_connected

    def submit(self, call: Call) -> None:
        self.calls.append(call)
        call.reply = Reply(call.body.decode(), "echo")
        call.on_done(call)


class Slow(FakeClient):
    """Answers when it is told to."""

    reconnect_wait = 0.0
    on_connected: Any = None

    def submit(self, call: Call) -> None:
        self.calls.append(call)

    def answer(self, number: int) -> None:
        call = self.calls[number]
        call.reply = Reply(call.body.decode(), "echo")
        call.on_done(call)


@pytest.fixture
def client() -> FakeClient:
    return FakeClient()


@pytest.fixture
def producer(client: FakeClient) -> EventProducer:
    return EventProducer(cast(RpcClient, client), timeout=30)


@pytest.fixture
def deadline() -> Iterator[Any]:
    """Set the deadline of the request being served."""
    token = current_deadline.set(None)
    yield lambda left: current_deadline.set(time.monotonic() + left)
    current_deadline.reset(token)


class Price(BaseModel):
    amount: Decimal


def test_a_service_may_send_a_model(producer: EventProducer) -> None:
    reply = producer.call("q", {"payload": Price(amount=Decimal("1.10"))})
    assert reply.outcome == '{"payload":{"amount":"1.10"}}'


def test_the_body_is_compact_utf8(producer: EventProducer) -> None:
    reply = producer.call("q", {"payload": "日本語 😀"})
    assert reply.outcome == '{"payload":"日本語 😀"}'


@pytest.mark.promise("docs/RPC.md", "It never waits longer than that request's caller")
def test_a_call_never_waits_beyond_the_deadline_of_the_request(
    producer: EventProducer, client: FakeClient, deadline: Any
) -> None:
    producer.call("q", {})
    deadline(2)
    producer.call("q", {})
    producer.call("q", {}, timeout=1)
    producer.call("q", {}, timeout=3)
    assert [round(call.timeout, 1) for call in client.calls] == [30, 2, 1, 2]
    assert client.waits == [CONNECT_WAIT, 2, 1, 2]  # for a connection


def test_without_time_left_no_request_is_sent(
    producer: EventProducer, client: FakeClient, deadline: Any
) -> None:
    deadline(-0.1)
    with pytest.raises(DeadlineExceeded, match="No time was left to call q"):
        producer.call("q", {})
    assert not client.calls


def test_a_timeout_of_zero_is_not_the_default(
    producer: EventProducer, client: FakeClient
) -> None:
    producer.call("q", {}, timeout=0)
    assert client.calls[0].timeout == 0


@pytest.mark.promise(
    "docs/RPC.md", "The call carries the request id of the current request."
)
def test_a_call_carries_the_current_request_id(
    producer: EventProducer, client: FakeClient
) -> None:
    token = current_request_id.set("r-1")
    producer.call("q", {})
    producer.call("q", {}, correlation_id="own")
    current_request_id.reset(token)
    producer.call("q", {}, task_id="t-1")
    headers = [call.headers for call in client.calls]
    assert [found["x-request-id"] for found in headers[:2]] == ["r-1", "own"]
    assert headers[2]["x-request-id"] not in ("-", "t-1")
    assert headers[2]["x-task-id"] == "t-1"
    assert len({call.id for call in client.calls}) == 3


@pytest.mark.promise(
    "docs/SECURITY.md",
    "a caller accepts a reply only with the random id of one of its own calls",
)
def test_nobody_guesses_the_id_of_a_call(
    producer: EventProducer, client: FakeClient
) -> None:
    """Clients choose the request id, and a service knows where replies go."""
    for _ in range(50):
        producer.call("q", {}, correlation_id="r-1")
    parts = [call.id.removeprefix("r-1#") for call in client.calls]
    assert len(set(parts)) == 50 and {len(part) for part in parts} == {16}
    # None follows from the one before.
    steps = {int(b, 16) - int(a, 16) for a, b in zip(parts, parts[1:], strict=False)}
    assert len(steps) == 49


async def test_an_answer_that_comes_meanwhile_wakes_the_loop_again() -> None:
    """The I/O thread wakes the loop once for all that the loop has not yet looked at:
    the next answer has to wake it again."""

    class Late(deque[Call]):
        """Gets another answer when it is found to be empty."""

        def __len__(self) -> int:
            length = super().__len__()
            if not length and slow.calls[1].reply is None:
                slow.answer(1)
            return length

    slow = Slow()
    producer = AsyncEventProducer(cast(RpcClient, slow), timeout=30)
    inner: Any = producer
    inner._done = Late()
    calls = [
        asyncio.create_task(
            producer.call("q", {}, task_id=f"t-{number}", correlation_id="r")
        )
        for number in range(2)
    ]
    while len(slow.calls) < 2:
        await asyncio.sleep(0)
    slow.answer(0)
    async with asyncio.timeout(10):
        replies = await asyncio.gather(*calls)
    assert [reply.task_type for reply in replies] == ["echo", "echo"]


def test_start_and_end_are_reported(producer: EventProducer) -> None:
    events: list[LogEvent] = []
    arguments: dict[str, Any] = {"task_id": "t", "correlation_id": "r"}
    token = current_principal.set("alice")
    producer.call("q", {}, **arguments, on_log_event=events.append)
    current_principal.reset(token)
    assert events == [
        LogEvent("start", "q", "t", "r", principal="alice"),
        LogEvent("end", "q", "t", "r", "echo", principal="alice"),
    ]
    assert {event.created_at.tzinfo for event in events} == {UTC}


def test_without_a_connection_no_request_is_sent(
    producer: EventProducer, client: FakeClient
) -> None:
    client.is_connected = False
    with pytest.raises(BrokerUnavailable):
        producer.call("q", {})
    assert not client.calls


@pytest.mark.parametrize(
    "arguments",
    [
        {"queue_name": "q" * 256},
        {"queue_name": "q", "correlation_id": "x" * 300},
        {"queue_name": "ü" * 128},  # the limit is in bytes
        {"queue_name": "q", "payload": {"n": float("nan")}},
    ],
)
def test_invalid_arguments_raise_at_their_caller(
    producer: EventProducer, client: FakeClient, arguments: dict[str, Any]
) -> None:
    with pytest.raises(ValueError):
        producer.call(**{"payload": {}, **arguments})
    assert not client.calls


@pytest.fixture
def in_use(producer: EventProducer) -> Iterator[None]:
    set_event_producer(producer)
    yield
    set_event_producer(None)


def test_call_service(in_use: None) -> None:
    assert call_service("q", {"payload": 1}) == '{"payload":1}'
    assert call_service(queue_name="q", payload={}, use_rabbitmq=True) == "{}"


def test_calls_need_rabbitmq(in_use: None) -> None:
    with pytest.raises(ValueError):
        call_service("q", {}, use_rabbitmq=False)


def test_a_process_without_a_producer_says_so() -> None:
    with pytest.raises(RuntimeError, match="has no producer.*call_service"):
        call_service("q", {})


def test_the_queue_of_a_service(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PRICING_QUEUE_NAME", raising=False)
    assert get_queue_name("pricing") == PATTERN.format(service="pricing")
    assert get_service_name(get_queue_name("pricing")) == "pricing"
    monkeypatch.setenv("PRICING_QUEUE_NAME", "prices")
    assert get_queue_name("pricing") == "prices"
