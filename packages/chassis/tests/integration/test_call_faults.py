"""What callers see when the broker breaks; later calls work again."""

import asyncio
import json
import os
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from urllib.parse import quote

import pytest

from chassis.errors import (
    ApplicationError,
    BrokerUnavailable,
    OutcomeUnknown,
    Unavailable,
)
from chassis.rpc.client import RECONNECT_WAIT, RpcClient
from chassis.rpc.producers import AsyncEventProducer, EventProducer
from chassis.settings import RabbitMQSettings
from local.servers.rabbitmq import RabbitMQ
from tests.integration.proxy import Proxy
from tests.integration.responder import Responder
from tests.integration.waiting import wait_until


class Traffic:
    """Calls without pause from several threads, and the result of each."""

    def __init__(self, producer: EventProducer, queue: str) -> None:
        self._producer = producer
        self._queue = queue
        self._stop = threading.Event()
        self.answered = 0
        self.errors: list[ApplicationError] = []
        self.longest = 0.0
        self._threads = ThreadPoolExecutor(4)
        self._running = [self._threads.submit(self._run) for _ in range(4)]

    def _run(self) -> None:
        while not self._stop.is_set():
            started = time.monotonic()
            try:
                self._producer.call(self._queue, {}, timeout=10)
                self.answered += 1
            except ApplicationError as error:
                self.errors.append(error)
                self._stop.wait(0.01)
            self.longest = max(self.longest, time.monotonic() - started)

    def wait_answers(self, more: int = 50) -> None:
        """Wait until that many more calls are answered."""
        target = self.answered + more
        wait_until(lambda: self.answered >= target, f"{more} more answers")

    def stop(self) -> None:
        """Stop, and raise any error that is not one of the kit."""
        self._stop.set()
        for running in self._running:
            running.result(30)
        self._threads.shutdown()


@pytest.fixture
def traffic(client: RpcClient, responder: Responder) -> Iterator[Traffic]:
    traffic = Traffic(EventProducer(client, timeout=10), responder.queue)
    traffic.wait_answers()
    yield traffic
    traffic.stop()
    assert client.in_flight == 0
    assert all(isinstance(error, Unavailable) for error in traffic.errors)


@pytest.mark.promise("docs/RPC.md", "the connection is lost while waiting")
@pytest.mark.promise(
    "ARCHITECTURE.md",
    "Every call ends: with a reply, a broker error, its deadline, or the loss of "
    "the connection.",
)
def test_broker_killed_and_restarted(
    traffic: Traffic,
    new_client: Callable[..., RpcClient],
    rabbitmq_settings: RabbitMQSettings,
    rabbitmq: RabbitMQ,
) -> None:
    """Calls under way end at once, and later ones work again."""
    go_on = threading.Event()
    with Responder(rabbitmq_settings) as slow, ThreadPoolExecutor(1) as threads:
        slow.before_reply = lambda _: go_on.wait(10) and False
        producer = EventProducer(new_client(), timeout=30)
        call = threads.submit(producer.call, slow.queue, {})
        wait_until(lambda: bool(slow.requests))
        rabbitmq.crash()
        try:
            with pytest.raises(OutcomeUnknown):
                call.result(2)
            wait_until(lambda: len(traffic.errors) >= 4)
        finally:
            go_on.set()
            rabbitmq.start()
    traffic.wait_answers()
    assert traffic.longest < 7  # a caller without a connection waits at most 5 s


def test_broker_stopped_beyond_two_heartbeats(
    client: RpcClient, traffic: Traffic, rabbitmq: RabbitMQ
) -> None:
    rabbitmq.pause()
    try:
        # Heartbeats come every second here: two missed ones end the connection.
        wait_until(lambda: len(traffic.errors) >= 4, "calls fail", within=8)
        assert not client.connected
    finally:
        rabbitmq.resume()
    traffic.wait_answers()


def test_connection_closed_by_the_server(
    traffic: Traffic, rabbitmq: RabbitMQ, rabbitmq_settings: RabbitMQSettings
) -> None:
    close_connections(rabbitmq_settings)
    wait_until(lambda: len(traffic.errors) >= 1)
    traffic.wait_answers()


def close_connections(settings: RabbitMQSettings) -> None:
    """Make the broker close every connection of this virtual host."""
    base = f"{settings.management_url}/api"
    manager = urllib.request.HTTPPasswordMgrWithDefaultRealm()
    password = settings.password.get_secret_value()
    manager.add_password(None, base, settings.user, password)
    opener = urllib.request.build_opener(urllib.request.HTTPBasicAuthHandler(manager))
    names: list[str] = []

    def listed() -> bool:  # the management plugin lists connections with a delay
        with opener.open(f"{base}/vhosts/{quote(settings.vhost, '')}/connections") as r:
            names[:] = [connection["name"] for connection in json.load(r)]
        return len(names) >= 2

    wait_until(listed)
    for name in names:
        url = f"{base}/connections/{quote(name, '')}"
        with suppress(urllib.error.HTTPError):  # one that has ended since
            opener.open(urllib.request.Request(url, method="DELETE")).close()


def test_nothing_leaks_over_reconnections(
    new_client: Callable[..., RpcClient], responder: Responder, proxy: Proxy
) -> None:
    client = new_client(port=proxy.port)
    producer = EventProducer(client, timeout=5)

    def use() -> tuple[int, int]:
        wait_until(lambda: client.connected)
        producer.call(responder.queue, {})
        return len(os.listdir("/proc/self/fd")), threading.active_count()

    files, threads = use()
    for _ in range(5):
        proxy.cut()
        wait_until(lambda: not client.connected)
        use()

    def is_as_before() -> bool:
        now = use()
        return now[0] <= files and now[1] <= threads

    wait_until(is_as_before, "no more descriptors and threads", within=10)


def test_closing_leaves_nothing(new_client: Callable[..., RpcClient]) -> None:
    files, threads = len(os.listdir("/proc/self/fd")), threading.active_count()
    client = new_client()
    client.close()
    assert len(os.listdir("/proc/self/fd")) == files
    assert threading.active_count() == threads


def test_slow_frames_cost_no_cpu(
    new_client: Callable[..., RpcClient], responder: Responder, proxy: Proxy
) -> None:
    client = new_client(port=proxy.port)
    producer = EventProducer(client, timeout=30)
    proxy.trickle = True
    cpu, wall = time.process_time(), time.monotonic()
    for _ in range(3):
        assert producer.call(responder.queue, {"a": 1}).outcome == {"a": 1}
    cpu, wall = time.process_time() - cpu, time.monotonic() - wall
    proxy.trickle = False
    assert wall > 0.3  # it did arrive byte by byte
    assert cpu < wall * 0.5


def test_calls_to_a_full_broker_fail_at_once(
    client: RpcClient, responder: Responder, rabbitmq: RabbitMQ
) -> None:
    """The broker reports a full disk to a connection that publishes. The call that met
    this fails at once, and later ones are not sent."""
    producer = EventProducer(client, timeout=10)
    producer.call(responder.queue, {})
    rabbitmq.set_alarm(is_full=True)
    try:
        for error in (OutcomeUnknown, BrokerUnavailable):
            started = time.monotonic()
            with pytest.raises(error, match="RabbitMQ accepts no messages"):
                producer.call(responder.queue, {})
            assert time.monotonic() - started < 5  # the call has 10 s
        assert "accepts no messages" in str(client.refusal)
    finally:
        rabbitmq.set_alarm(is_full=False)
    wait_until(lambda: client.refusal is None)
    assert producer.call(responder.queue, {"n": 1}).outcome == {"n": 1}


async def processed(producer: AsyncEventProducer, queue: str) -> object:
    reply = await producer.call(queue, {"a": 1}, task_id="t", correlation_id="r")
    return reply.outcome


@pytest.mark.promise(
    "docs/RPC.md",
    "A call of the API (`AsyncEventProducer`) waits for the next connection for up to "
    "2 s after the last one was lost",
)
async def test_a_call_waits_for_the_next_connection(
    new_client: Callable[..., RpcClient], responder: Responder, proxy: Proxy
) -> None:
    client = new_client(port=proxy.port)
    await asyncio.to_thread(client.wait_connected, 10)
    producer = AsyncEventProducer(client, timeout=10)
    for _ in range(3):
        known = proxy.accepted
        proxy.cut()
        await asyncio.to_thread(
            wait_until, lambda: not client.connected or proxy.accepted > known
        )
        assert await processed(producer, responder.queue) == {"a": 1}


@pytest.mark.budget("client.RECONNECT_WAIT")
async def test_a_call_waits_for_no_connection_in_a_lasting_outage(
    new_client: Callable[..., RpcClient],
    responder: Responder,
    proxy: Proxy,
) -> None:
    client = new_client(port=proxy.port)
    await asyncio.to_thread(client.wait_connected, 10)
    producer = AsyncEventProducer(client, timeout=10)
    proxy.close()
    await asyncio.to_thread(wait_until, lambda: not client.connected)
    waits = []
    for _ in range(4):
        began = time.monotonic()
        with pytest.raises(BrokerUnavailable):
            await processed(producer, responder.queue)
        waits.append(time.monotonic() - began)
    assert waits[0] > RECONNECT_WAIT / 2 and min(waits[1:]) < 0.1
