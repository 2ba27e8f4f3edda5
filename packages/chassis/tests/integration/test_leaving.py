"""A node that stops on purpose, with RabbitMQ behind two proxies as nodes."""

import asyncio
import socket
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from chassis.rpc.client import RpcClient
from chassis.rpc.producers import AsyncEventProducer, EventProducer
from tests.integration.caller import Rabbit
from tests.integration.conftest import Start
from tests.integration.proxy import Proxy
from tests.integration.waiting import lines, wait_until

#: Seconds in which a node is left: leave.sh waits for 6.
SOON = 4.5


@pytest.fixture
def first(rabbitmq: Rabbit) -> Iterator[Proxy]:
    """The node that all clients have at first."""
    with Proxy(rabbitmq.host, rabbitmq.port) as proxy:
        yield proxy


@pytest.fixture
def port() -> Iterator[socket.socket]:
    """The port of the second node, which does not listen yet."""
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        yield reserved


@pytest.fixture
def hosts(first: Proxy, port: socket.socket) -> str:
    return f"127.0.0.1:{first.port},127.0.0.1:{port.getsockname()[1]}"


async def stop(first: Proxy) -> None:
    """The node stops when its clients have left, as with rabbitmq/leave.sh."""
    began = time.monotonic()
    first.suspend()
    await asyncio.to_thread(wait_until, lambda: first.is_left, "all clients leave", 10)
    assert time.monotonic() - began < SOON
    first.close()


@pytest.mark.promise(
    "docs/RPC.md",
    "A node of a cluster that stops on purpose loses no call of a client that knows "
    "several",
)
async def test_no_call_is_lost(
    rabbitmq: Rabbit,
    first: Proxy,
    port: socket.socket,
    hosts: str,
    start: Start,
    new_client: Callable[..., RpcClient],
    queue: str,
    tmp_path: Path,
) -> None:
    """Both ends leave the node at once, under load: no call fails, and none is done
    twice."""
    notes, done = tmp_path / "notes", asyncio.Event()
    service = start(RABBITMQ_HOST=hosts)
    producer = AsyncEventProducer(new_client(host=hosts), timeout=5)
    blocking = EventProducer(new_client(host=hosts), timeout=5)
    made: Counter[str] = Counter()

    def payload(name: str) -> dict[str, object]:
        made[name] += 1
        more = {"name": f"{name}-{made[name]}", "note": str(notes)}
        return {"payload": {"do": "block", "seconds": 0.02, **more}}

    async def call(name: str) -> None:
        while not done.is_set():
            await producer.call(
                queue, payload(name), task_id="t", correlation_id="r", timeout=5
            )

    async def call_from_thread(name: str) -> None:
        while not done.is_set():
            await asyncio.to_thread(blocking.call, queue, payload(name))

    async with asyncio.TaskGroup() as group:
        calls = [group.create_task(call(f"a{number}")) for number in range(8)]
        for number in range(3):
            calls.append(group.create_task(call_from_thread(f"b{number}")))
        await asyncio.sleep(0.5)
        before, losses = made.total(), service.losses
        port.listen()
        with Proxy(rabbitmq.host, rabbitmq.port, listener=port) as second:
            await stop(first)
            await asyncio.sleep(0.5)
            done.set()
            await asyncio.gather(*calls)
            assert second.accepted >= 3
            assert service.losses == losses and "Leaving the node" in service.log
    assert made.total() > before > 20
    begun = Counter(lines(notes))
    assert begun.total() == len(begun) == made.total()


async def test_a_node_without_another_one_is_not_left(
    first: Proxy, hosts: str, new_client: Callable[..., RpcClient]
) -> None:
    client = new_client(host=hosts)
    first.suspend()
    await asyncio.sleep(3)
    assert client.connected and not first.is_left
