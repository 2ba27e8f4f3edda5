"""What a caller's I/O thread keeps in mind, without a broker."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

import pytest

from chassis.errors import (
    BrokerUnavailable,
    DeadlineExceeded,
    NoConsumer,
    OutcomeUnknown,
    QueueFull,
    ServiceError,
    TooManyInFlight,
)
from chassis.rpc import client as module
from chassis.rpc.call import Call
from chassis.rpc.client import RpcClient
from chassis.rpc.connection import Delivery
from chassis.settings import RabbitMQSettings, RpcSettings
from tests.unit.broker import WAIT, FakeConnection, replace_connections


class Bench:
    """A client and its connections, one after another."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.connections = [FakeConnection() for _ in range(3)]
        asked = replace_connections(monkeypatch, module, self.connections)
        rabbitmq, rpc = RabbitMQSettings(host="h"), RpcSettings()
        self.client = RpcClient(rabbitmq, rpc)
        assert asked == [(rabbitmq, rpc, "rpc")] * 2
        self.client.start()
        assert self.client.wait_connected(WAIT)
        self.ended: list[Call] = []
        self._calls = 0
        self._done: dict[str, threading.Event] = {}

    def submit(self, *, timeout: float = 30) -> Call:
        self._calls += 1
        done = threading.Event()
        name = f"call-{self._calls}"

        def on_done(call: Call) -> None:
            self.ended.append(call)
            done.set()

        call = Call(name, "work", b"{}", {}, timeout, on_done)
        self._done[name] = done
        self.client.submit(call)
        return call

    def sent(self, connection: FakeConnection) -> Call:
        """A new call, which has left."""
        call = self.submit()
        self.wait(lambda: call.id in connection.sent)
        return call

    def wait(self, condition: Callable[[], bool]) -> None:
        until = time.monotonic() + WAIT
        while not condition():
            assert time.monotonic() < until
            time.sleep(0.001)

    def error(self, call: Call) -> Exception | None:
        """How it ended; waits for that."""
        assert self._done[call.id].wait(WAIT), f"{call.id} does not end"
        return call.error

    def reconnected(self) -> FakeConnection:
        """The second connection, after the loss of the first."""
        self.connections[0].lose()
        self.wait(lambda: self.connections[1].confirms and self.client.connected)
        return self.connections[1]


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    bench = Bench(monkeypatch)
    yield bench
    bench.client.close()


@pytest.fixture
def first(bench: Bench) -> FakeConnection:
    return bench.connections[0]


@pytest.mark.promise(
    "docs/adr/0003-one-io-thread.md",
    "When the connection breaks, we know at once which calls are in doubt: all of"
    " them.",
)
@pytest.mark.promise(
    "docs/RPC.md", "When both are lost, every pending call fails immediately."
)
def test_confirms_count_anew_on_each_connection(
    bench: Bench, first: FakeConnection
) -> None:
    lost = [bench.sent(first) for _ in range(3)]
    second = bench.reconnected()
    assert all(isinstance(bench.error(call), OutcomeUnknown) for call in lost)
    refused, other = bench.sent(second), bench.sent(second)
    second.confirm("nack", 1)
    assert isinstance(bench.error(refused), QueueFull)
    second.answer(other)
    assert bench.error(other) is None and other.reply


def test_each_connection_has_a_reply_queue_of_its_own(
    bench: Bench, first: FakeConnection
) -> None:
    """The broker may keep the old one for a while, for the lost connection alone."""
    bench.sent(first)
    second = bench.reconnected()
    bench.sent(second)
    named = []
    for connection in (first, second):
        (queue,) = connection.declared
        assert queue["exclusive"] and queue["auto_delete"] and not queue["durable"]
        (consumed,) = connection.consumed
        assert consumed["queue"] == queue["queue"] and consumed["no_ack"]
        assert connection.properties[-1]["reply_to"] == queue["queue"]
        named.append(queue["queue"])
    assert len(set(named)) == 2


@pytest.mark.promise("docs/RPC.md", "the queue is full")
def test_a_confirm_may_be_for_several_calls(
    bench: Bench, first: FakeConnection
) -> None:
    calls = [bench.sent(first) for _ in range(5)]
    first.confirm("ack", 2, multiple=True)
    first.confirm("nack", 4, multiple=True)
    refused = [call for call in calls if call.error]
    assert refused == calls[2:4]
    assert all(isinstance(call.error, QueueFull) for call in refused)
    first.confirm("nack", 5)
    assert isinstance(bench.error(calls[4]), QueueFull)
    for call in calls[:2]:
        first.answer(call)
        assert bench.error(call) is None


def test_a_confirm_may_come_out_of_order(bench: Bench, first: FakeConnection) -> None:
    calls = [bench.sent(first) for _ in range(3)]
    first.confirm("ack", 2)
    first.confirm("nack", 3, multiple=True)
    assert [type(call.error) for call in calls] == [QueueFull, type(None), QueueFull]


def test_a_call_that_its_caller_gave_up_is_not_sent(
    bench: Bench, first: FakeConnection
) -> None:
    go_on = threading.Event()
    first.happen(lambda: go_on.wait(WAIT), waits=False)
    given_up, late = bench.submit(), bench.submit(timeout=0)
    bench.client.forget(given_up)
    go_on.set()
    wanted = bench.sent(first)
    assert first.sent == [wanted.id]
    assert late.id not in first.sent and bench.client.in_flight <= 2


@pytest.mark.promise("docs/RPC.md", "the caller goes away")
def test_the_reply_to_a_call_that_was_given_up_is_counted(
    bench: Bench, first: FakeConnection
) -> None:
    call = bench.sent(first)
    bench.client.forget(call)
    first.answer(call)
    assert bench.client.statistics.dropped_replies == 1
    assert bench.client.in_flight == 0 and call.reply is None


@pytest.mark.promise("docs/RPC.md", "RabbitMQ is short of memory or disk")
def test_a_broker_that_accepts_no_messages(bench: Bench, first: FakeConnection) -> None:
    accepted, unknown = bench.sent(first), bench.sent(first)
    first.confirm("ack", 1)
    first.happen(lambda: setattr(first, "blocked", "low on memory"))
    assert isinstance(bench.error(unknown), OutcomeUnknown)
    later = bench.submit()
    error = bench.error(later)
    assert isinstance(error, BrokerUnavailable) and "low on memory" in str(error)
    assert later.id not in first.sent
    assert "low on memory" in str(bench.client.refusal)
    first.happen(lambda: setattr(first, "blocked", None))
    first.answer(accepted)
    assert bench.error(accepted) is None
    assert bench.client.refusal is None and bench.sent(first)


def test_what_was_not_sent_is_not_sent_later(
    bench: Bench, first: FakeConnection
) -> None:
    """Its caller has heard that nothing was done."""
    go_on = threading.Event()

    def fail() -> None:
        go_on.wait(WAIT)
        raise ConnectionResetError("lost")

    first.happen(fail, waits=False)
    call = bench.submit()
    go_on.set()
    error = bench.error(call)
    assert isinstance(error, BrokerUnavailable)
    assert not isinstance(error, OutcomeUnknown)
    second = bench.connections[1]
    bench.wait(lambda: second.confirms and bench.client.connected)
    later = bench.sent(second)
    assert second.sent == [later.id]


def test_a_call_never_waits_for_the_next_tick(
    bench: Bench, first: FakeConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The I/O thread is awake when it looks for calls, and then waits: what comes in
    between has to wake it."""
    for tick in ("EXPIRY_CHECK", "HEARTBEAT_CHECK"):
        monkeypatch.setattr(module, tick, 3 * WAIT)
    between: list[Call] = []

    @contextmanager
    def one_write() -> Iterator[None]:
        yield
        if not between:
            between.append(bench.submit())

    monkeypatch.setattr(first, "one_write", one_write)
    bench.submit()
    bench.wait(lambda: len(first.sent) == 2)


@pytest.mark.promise("docs/RPC.md", "the queue does not exist")
@pytest.mark.promise(
    "docs/RPC.md",
    "Published to the default exchange with the queue's name as routing key, "
    "`mandatory`.",
)
def test_a_queue_that_does_not_exist(bench: Bench, first: FakeConnection) -> None:
    call = bench.sent(first)
    (properties,) = first.properties
    assert properties["mandatory"] and 29_000 < int(properties["expiration"]) <= 30_000
    message = type("Message", (), {"properties": {"correlation_id": call.id}})()
    first.happen(
        lambda: [f(None, "", "work", message) for f in first.events["basic_return"]]
    )
    assert isinstance(bench.error(call), NoConsumer)


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
    assert bench.client.statistics.failures == {"too_large": 2}
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
    assert bench.client.statistics.failures == {DeadlineExceeded.code: 1}


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
