"""Calls from an event loop, without a broker."""

import asyncio
import threading
import time
from typing import Any, cast

import pytest
from pydantic import SecretStr

from chassis import json_aside, json_text
from chassis.context import current_principal
from chassis.errors import BrokerUnavailable, DeadlineExceeded, QueueFull
from chassis.rpc.call import Call
from chassis.rpc.client import RpcClient
from chassis.rpc.producers import AsyncEventProducer, EventProducer, LogEvent
from chassis.rpc.wire import Reply
from chassis.settings import RabbitMQSettings, RpcSettings


class Client:
    """Answers when a test tells it, from another thread."""

    system = "redis"
    reconnect_wait = 0.0
    connected = True
    on_connected: Any = None

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.forgotten: list[Call] = []
        self.closed = 0
        self.refuses: Exception | None = None

    def submit(self, call: Call) -> None:
        if self.refuses:
            raise self.refuses
        self.calls.append(call)

    def forget(self, call: Call) -> None:
        self.forgotten.append(call)

    def close(self) -> None:
        assert threading.current_thread() is not threading.main_thread()
        self.closed += 1

    async def arrived(self, count: int) -> list[Call]:
        while len(self.calls) < count:
            await asyncio.sleep(0.001)
        return self.calls

    def answer(self, *calls: Call, error: Any = None) -> None:
        def run() -> None:
            for call in calls:
                call.error = error
                call.reply = None if error else Reply(call.body.decode(), "echo")
                call.on_done(call)

        threading.Thread(target=run).start()


@pytest.fixture
def client() -> Client:
    return Client()


@pytest.fixture
async def producer(client: Client) -> AsyncEventProducer:
    return AsyncEventProducer(cast(RpcClient, client), timeout=30)


IDS: dict[str, Any] = {"task_id": "t-1", "correlation_id": "r-1"}


async def test_a_call_is_sent_and_reported(
    client: Client, producer: AsyncEventProducer
) -> None:
    events: list[LogEvent] = []
    token = current_principal.set("alice")
    task = asyncio.create_task(
        producer.call("work", {"a": 1}, **IDS, timeout=7, on_log_event=events.append)
    )
    current_principal.reset(token)
    (call,) = await client.arrived(1)
    assert (call.queue, call.body, call.timeout) == ("work", b'{"a":1}', 7)
    assert call.headers == {
        "x-request-id": "r-1",
        "x-task-id": "t-1",
        "x-principal": "alice",
    }
    assert call.id.startswith("r-1#")
    client.answer(call)
    assert await task == Reply('{"a":1}', "echo")
    started, ended = events
    assert (started.status, ended.status, ended.task_type) == ("start", "end", "echo")
    assert ended.task_id == "t-1" and ended.principal == "alice"
    assert not client.forgotten


async def test_answers_come_to_their_callers(
    client: Client, producer: AsyncEventProducer
) -> None:
    tasks = [
        asyncio.create_task(producer.call("work", {"n": number}, **IDS))
        for number in range(5)
    ]
    calls = await client.arrived(5)
    assert {call.timeout for call in calls} == {30}
    client.answer(calls[3], calls[1])
    await asyncio.gather(tasks[3], tasks[1])
    assert not any(tasks[number].done() for number in (0, 2, 4))
    client.answer(calls[0], calls[4], calls[2])
    replies = await asyncio.gather(*tasks)
    assert [each.outcome for each in replies] == [f'{{"n":{n}}}' for n in range(5)]


async def test_answers_that_come_together_wake_the_loop_once(
    client: Client, producer: AsyncEventProducer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A wake-up is a system call."""
    loop, wakes = asyncio.get_running_loop(), []
    wake = loop.call_soon_threadsafe

    def count(callback: Any, *arguments: Any, **options: Any) -> Any:
        wakes.append(callback)
        return wake(callback, *arguments, **options)

    monkeypatch.setattr(loop, "call_soon_threadsafe", count)
    tasks = [asyncio.create_task(producer.call("work", {}, **IDS)) for _ in range(5)]
    for call in await client.arrived(5):  # while the loop is busy with this
        call.reply = Reply(1, "echo")
        call.on_done(call)
    await asyncio.gather(*tasks)
    assert len(wakes) == 1


async def test_an_error_is_raised_and_reported(
    client: Client, producer: AsyncEventProducer
) -> None:
    events: list[LogEvent] = []
    task = asyncio.create_task(
        producer.call("work", {}, **IDS, on_log_event=events.append)
    )
    client.answer(*await client.arrived(1), error=QueueFull("full"))
    with pytest.raises(QueueFull):
        await task
    assert [each.status for each in events] == ["start", QueueFull.code]


async def test_a_caller_that_goes_away_is_forgotten(
    client: Client, producer: AsyncEventProducer
) -> None:
    """The reply may come at that moment."""
    task = asyncio.create_task(producer.call("work", {}, **IDS))
    (call,) = await client.arrived(1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert client.forgotten == [call]
    client.answer(call)
    other = asyncio.create_task(producer.call("work", {}, **IDS))
    client.answer((await client.arrived(2))[1])
    assert (await other).task_type == "echo"


async def test_a_reply_and_the_end_of_its_caller_may_coincide(
    client: Client, producer: AsyncEventProducer
) -> None:
    task = asyncio.create_task(producer.call("work", {}, **IDS))
    (call,) = await client.arrived(1)
    call.reply = Reply(1, "echo")
    call.on_done(call)
    task.cancel()  # before the loop looks at the reply
    failures: list[Any] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: failures.append(context))
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.sleep(0.01)
    assert not failures


async def test_a_refused_call_is_not_reported(
    client: Client, producer: AsyncEventProducer
) -> None:
    client.refuses = BrokerUnavailable("no")
    events: list[LogEvent] = []
    with pytest.raises(BrokerUnavailable):
        await producer.call("work", {}, **IDS, on_log_event=events.append)
    assert not events


@pytest.mark.parametrize("is_lasting", [True, False])
async def test_a_call_waits_for_the_next_connection_a_moment(
    client: Client, producer: AsyncEventProducer, is_lasting: bool
) -> None:
    client.on_connected()  # an earlier one
    await asyncio.sleep(0)
    client.connected, client.reconnect_wait = False, 0.1 if is_lasting else 10
    began = time.monotonic()
    task = asyncio.create_task(producer.call("work", {}, **IDS))
    await asyncio.sleep(0.02)
    assert not client.calls
    if not is_lasting:
        threading.Thread(target=client.on_connected).start()
    client.answer(*await client.arrived(1))
    await task
    waited = time.monotonic() - began
    assert waited >= 0.1 if is_lasting else waited < 5


async def test_a_large_payload_is_written_outside_the_loop(
    client: Client, producer: AsyncEventProducer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The loop serves other requests meanwhile."""
    written: list[threading.Thread] = []
    dumps = json_text.dumps

    def write(value: Any) -> str:
        written.append(threading.current_thread())
        return dumps(value)

    monkeypatch.setattr(json_text, "dumps", write)
    payload = {"payload": "x" * json_aside.LONG}
    task = asyncio.create_task(producer.call("work", payload, **IDS))
    client.answer(*await client.arrived(1))
    await task
    assert written and threading.current_thread() not in written


async def test_it_does_not_wait_for_a_connection_that_is_there(
    client: Client, producer: AsyncEventProducer
) -> None:
    client.reconnect_wait = 10  # the connection came since
    task = asyncio.create_task(producer.call("work", {}, **IDS))
    async with asyncio.timeout(5):
        client.answer(*await client.arrived(1))
        await task


async def test_closing_does_not_block_the_loop(
    client: Client, producer: AsyncEventProducer
) -> None:
    await producer.close()
    assert client.closed == 1


class Ready(Client):
    """Answers at once, for callers that block."""

    def __init__(self, answers: bool = True) -> None:
        super().__init__()
        self.answers = answers

    def start(self) -> None: ...

    def wait_connected(self, timeout: float) -> bool:
        return True

    def submit(self, call: Call) -> None:
        super().submit(call)
        if self.answers:
            call.reply = Reply(1, "echo")
            call.on_done(call)


def test_only_a_slow_call_is_reported_as_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    slow: list[str] = []
    fast = EventProducer(cast(RpcClient, Ready()), timeout=30)
    fast.call("work", {}, on_slow=lambda: slow.append("fast"))
    client = Ready(answers=False)

    def on_slow() -> None:
        slow.append("slow")
        client.answer(*client.calls)

    EventProducer(cast(RpcClient, client), timeout=30).call("work", {}, on_slow=on_slow)
    assert slow == ["slow"]


def test_without_an_id_each_call_has_a_new_one() -> None:
    client = Ready()
    producer = EventProducer(cast(RpcClient, client), timeout=30)
    for _ in range(2):
        producer.call("work", {})
    first, second = (call.headers for call in client.calls)
    assert first["x-task-id"] == first["x-request-id"] != second["x-task-id"]
    assert len(first["x-task-id"]) == 36 and "x-principal" not in first


@pytest.mark.parametrize(("length", "is_sent"), [(255, True), (256, False)])
def test_names_are_as_long_as_amqp_allows(length: int, is_sent: bool) -> None:
    client = Ready()
    producer = EventProducer(cast(RpcClient, client), timeout=30)
    if is_sent:
        producer.call("q" * length, {})
        assert client.calls[0].queue == "q" * length
        return
    with pytest.raises(ValueError, match="is too long for AMQP"):
        producer.call("q" * length, {})


def test_an_error_ends_a_call_that_blocks() -> None:
    client = Ready(answers=False)
    events: list[LogEvent] = []
    producer = EventProducer(cast(RpcClient, client), timeout=30)
    with pytest.raises(DeadlineExceeded):
        producer.call(
            "work",
            {},
            on_log_event=events.append,
            on_slow=lambda: client.answer(*client.calls, error=DeadlineExceeded("x")),
        )
    assert [each.status for each in events] == ["start", DeadlineExceeded.code]


def test_a_producer_of_its_own_connects_in_the_background() -> None:
    before = set(threading.enumerate())
    rabbitmq = RabbitMQSettings(host="127.0.0.1", port=1)
    rpc = RpcSettings(timeout_seconds=0.05, broker_url=SecretStr("amqp://127.0.0.1:1"))
    producer = EventProducer.connect(rabbitmq, rpc)
    began = time.monotonic()
    with pytest.raises(BrokerUnavailable):
        producer.call("work", {})
    assert 0.05 <= time.monotonic() - began < 5
    (thread,) = set(threading.enumerate()) - before
    producer.close()
    assert not thread.is_alive()
