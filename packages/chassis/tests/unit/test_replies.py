"""What a caller hears of its calls, without a broker."""

import json
import threading
import time
from functools import partial

import pytest

from chassis.errors import (
    BrokerUnavailable,
    DeadlineExceeded,
    OutcomeUnknown,
    ServiceError,
    TooManyInFlight,
)
from chassis.rpc import client as module
from chassis.rpc.connection import Delivery
from chassis.settings import RpcSettings
from tests.unit.broker import WAIT, FakeConnection
from tests.unit.callers import Bench


def reply(call_id: str, *, error: str | None = None) -> Delivery:
    """The service's, an answer or an error."""
    properties = {"correlation_id": call_id}
    if error is None:
        return Delivery(b"1", {"x-status": "ok", "x-task-type": "t"}, properties, 1)
    body = json.dumps({"code": error, "message": "no"}).encode()
    return Delivery(body, {"x-status": "error"}, properties, 1)


def test_a_refusal_is_the_error_of_its_call(
    bench: Bench, first: FakeConnection
) -> None:
    for _ in range(2):
        call = bench.sent(first)
        first.happen(partial(first.on_reply, reply(call.id, error="too_large")))
        error = bench.error(call)
        assert isinstance(error, ServiceError) and error.code == "too_large"
        assert bench.ended[-1] is call
    latency = bench.client.statistics.latency()
    assert latency.count == 2 and latency.avg is not None and latency.avg < WAIT
    assert bench.client.in_flight == 0


def test_replies_to_nobody_are_counted(bench: Bench, first: FakeConnection) -> None:
    call = bench.sent(first)
    for delivery in (reply("of-another"), Delivery(b"1", {}, {}, 1)):
        first.happen(partial(first.on_reply, delivery))
    assert bench.client.statistics.dropped_replies == 2
    bench.client.forget(call)
    bench.client.forget(call)  # the answer came meanwhile
    assert bench.client.in_flight == 0


def test_a_process_has_only_so_many_calls(
    bench: Bench, first: FakeConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bench.client, "_rpc", RpcSettings(max_in_flight=2))
    call, _ = bench.sent(first), bench.sent(first)
    with pytest.raises(TooManyInFlight):
        bench.submit()
    assert bench.client.in_flight == 2
    first.answer(call)
    assert bench.sent(first)


@pytest.mark.promise("docs/RPC.md", "the queue is full")
def test_errors_say_which_queue(bench: Bench, first: FakeConnection) -> None:
    call = bench.sent(first)
    first.confirm("nack", 1)
    assert str(bench.error(call)) == "The queue work is full."


def test_a_call_without_an_answer_ends_by_its_deadline(
    bench: Bench, first: FakeConnection
) -> None:
    call = bench.submit(timeout=0.2)
    error = bench.error(call)
    assert isinstance(error, DeadlineExceeded) and time.monotonic() >= call.deadline
    assert str(error) == "No answer from work within 0.2 s."
    assert bench.client.statistics.timeouts == 1
    assert first.sent == [call.id] and bench.client.in_flight == 0


def test_what_a_request_tells_its_service(bench: Bench, first: FakeConnection) -> None:
    call = bench.sent(first)
    (headers,), (properties,) = first.headers, first.properties
    assert 29_000 < headers["x-time-left"] <= 30_000
    assert properties["expiration"] == str(headers["x-time-left"])
    assert headers["x-sent-at"] == pytest.approx(time.time() * 1000, abs=10_000)
    assert properties["correlation_id"] == call.id


def test_calls_wait_a_moment_after_a_loss_only(
    bench: Bench, first: FakeConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert bench.client.reconnect_wait == 0  # connected
    go_on = threading.Event()
    second = bench.connections[1]
    monkeypatch.setattr(second, "open", lambda _: go_on.wait(WAIT))
    first.lose()
    bench.wait(lambda: not bench.client.connected)
    assert 0 < bench.client.reconnect_wait <= module.RECONNECT_WAIT
    with pytest.raises(BrokerUnavailable):
        bench.submit()
    assert bench.client.refusal == "There is no connection to RabbitMQ."
    monkeypatch.setattr(module, "RECONNECT_WAIT", 0)
    assert bench.client.reconnect_wait == 0
    go_on.set()


def test_a_closed_client_waits_for_nothing(bench: Bench, first: FakeConnection) -> None:
    call = bench.sent(first)
    bench.client.close()
    assert isinstance(bench.error(call), OutcomeUnknown)
    assert (first.closed, first.dropped) == (1, 1)
    assert bench.client.reconnect_wait == 0 and not bench.client.connected
    bench.client.start()  # nor does it start again
    assert not bench.client.connected and first.beats


@pytest.mark.parametrize(("text", "is_bug"), [("lost", False), ("a bug", True)])
def test_a_loss_is_told_with_what_to_do(
    bench: Bench, caplog: pytest.LogCaptureFixture, text: str, is_bug: bool
) -> None:
    error = LookupError(text) if is_bug else ConnectionResetError(text)
    bench.connections[0].lose(error)
    bench.wait(lambda: bench.connections[1].confirms and bench.client.connected)
    (warning,) = [each for each in caplog.records if each.message.startswith("Lost")]
    assert warning.message.startswith(f"Lost a broker: {type(error).__name__}")
    assert warning.message.endswith("ask its author" if is_bug else "lost")
    assert bool(warning.exc_info) is is_bug
