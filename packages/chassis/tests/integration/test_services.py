"""A service that calls another service."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from chassis.errors import (
    DeadlineExceeded,
    ServiceError,
    ServiceFailed,
    ServiceUnavailable,
)
from chassis.rpc.client import RpcClient
from chassis.rpc.producers import EventProducer
from tests.integration.caller import Caller
from tests.integration.conftest import Start
from tests.integration.process import ServiceProcess
from tests.integration.waiting import lines, wait_until


@pytest.fixture
def producer(client: RpcClient) -> EventProducer:
    return EventProducer(client, timeout=10)


@pytest.fixture
def other(queue: str) -> str:
    """The queue of the other service."""
    return f"{queue}_other"


@pytest.fixture
def first(start: Start) -> ServiceProcess:
    """A service with one thread: a request that hangs would be its last."""
    return start(CONCURRENCY="1")


@pytest.fixture
def second(start: Start, other: str) -> ServiceProcess:
    return start(QUEUE_NAME=other)


def calling(other: str, payload: Any, **more: Any) -> dict[str, Any]:
    """Send a request to the first service, which calls the other with `payload`."""
    return {"payload": {"do": "call", "queue": other, "payload": payload, **more}}


@pytest.mark.promise(
    "docs/RPC.md",
    "An uncaught refusal by the other service goes to the first caller, with its "
    "code.",
)
def test_answers_and_refusals_pass_through(
    first: ServiceProcess,
    second: ServiceProcess,
    producer: EventProducer,
    queue: str,
    other: str,
) -> None:
    """With the request id, and the code."""
    for number in range(20):
        reply = producer.call(queue, calling(other, number), correlation_id="r-1")
        assert reply.outcome["request_id"] == "r-1"
        assert reply.outcome["returned"] == {"output": number, "request_id": "r-1"}
    with pytest.raises(ServiceError) as refused:
        producer.call(queue, calling(other, {"do": "refuse"}))
    assert (refused.value.code, refused.value.detail) == ("told_to_refuse", "reason")
    assert "Traceback" not in first.log


def test_a_call_to_a_missing_service_may_be_retried(
    first: ServiceProcess,
    producer: EventProducer,
    connect: Callable[[], Caller],
    queue: str,
    other: str,
) -> None:
    began = time.monotonic()
    with pytest.raises(ServiceUnavailable, match="does not exist"):
        producer.call(queue, calling(other, "x"))
    assert time.monotonic() - began < 5
    assert connect().depth(f"{queue}_dlq") == 0


def test_a_failing_service_is_not_called_for_ever(
    first: ServiceProcess,
    second: ServiceProcess,
    producer: EventProducer,
    connect: Callable[[], Caller],
    queue: str,
    other: str,
    tmp_path: Path,
) -> None:
    notes = tmp_path / "notes"
    with pytest.raises((ServiceUnavailable, ServiceFailed)):
        producer.call(queue, calling(other, {"do": "fail", "note": str(notes)}))
    caller = connect()
    wait_until(lambda: caller.depth(f"{other}_dlq") == 1, "it is a dead letter there")
    assert caller.depth(f"{queue}_dlq") == 0
    assert len(lines(notes)) == 3


def test_a_call_ends_with_the_deadline_of_the_request(
    first: ServiceProcess,
    second: ServiceProcess,
    producer: EventProducer,
    connect: Callable[[], Caller],
    queue: str,
    other: str,
    tmp_path: Path,
) -> None:
    notes = tmp_path / "notes"
    request = calling(other, {"do": "block", "seconds": 60}, note=str(notes))
    began = time.monotonic()
    with pytest.raises(DeadlineExceeded):
        producer.call(queue, request, timeout=1)
    assert 1 <= time.monotonic() - began < 5
    # The first service's only thread is free again; its own limit is 30 s.
    assert producer.call(queue, {"payload": "quick"}, timeout=5).outcome
    assert time.monotonic() - began < 10
    assert "passed during a call to another service: No answer" in first.log
    assert len(lines(notes)) == 1
    caller = connect()
    assert caller.depth(queue) == caller.depth(f"{queue}_dlq") == 0
