"""Every client of Redis with every kind of Redis."""

import asyncio
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import pytest
from kombu import Producer
from kombu.exceptions import KombuError
from pydantic import SecretStr
from redis.exceptions import RedisError

from app.core.exceptions import KeyStoreUnavailable, Unavailable
from app.core.keys import Claim
from app.core.redis_settings import CelerySettings
from app.infrastructure.celery import create_celery
from app.infrastructure.redis import key_store, request_counts
from app.infrastructure.redis.key_store import KeyStore
from app.infrastructure.redis.login import file_login
from app.infrastructure.redis.request_counts import RequestCounts
from app.infrastructure.redis.task_states import TaskStates
from app.infrastructure.task_lists import TaskLists
from app.infrastructure.task_publisher import TaskPublisher
from chassis.rpc.producers import EventProducer
from chassis.settings import RabbitMQSettings, RpcSettings
from local.ports import free_port
from local.servers.redis import Redis
from local.state import State
from tests.integration.redis_kinds import (
    LOGIN,
    MASTER,
    Forwarder,
    OwnRedis,
    Sentinel,
    make_certificate,
)


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a busy machine, a first connection may take long."""
    monkeypatch.setattr(request_counts, "TIMEOUT", 2.0)


@pytest.fixture(scope="module")
def own_redis(state: State) -> Iterator[OwnRedis]:
    server = OwnRedis(state, "own")
    server.start()
    yield server
    server.kill()


@pytest.fixture(scope="module")
def replica(state: State, own_redis: OwnRedis) -> Iterator[OwnRedis]:
    follow = ("--replicaof", "127.0.0.1", str(own_redis.port))
    server = OwnRedis(state, "replica", *follow)
    server.start()
    yield server
    server.kill()


@pytest.fixture(scope="module")
def sentinel(
    state: State, own_redis: OwnRedis, replica: OwnRedis
) -> Iterator[Sentinel]:
    server = Sentinel(state, own_redis)
    server.start()
    yield server
    server.kill()


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_certificate(tmp_path_factory.mktemp("tls"))


@pytest.fixture
async def tls_port(own_redis: OwnRedis, certificate: Path) -> AsyncIterator[int]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    async with Forwarder(own_redis, context).open() as proxy:
        yield proxy.port


class Clients:
    """All clients of one URL. Each attempt goes the whole way to Redis."""

    def __init__(self, url: str, key_prefix: str = "") -> None:
        """Their ``_FILE`` variables, if set, may name new passwords."""
        secret = SecretStr(url)
        self.settings = CelerySettings(
            broker_url=secret, result_backend=secret, key_prefix=key_prefix
        )
        self.celery = create_celery(self.settings)
        self.beat = Producer(self.celery.connection_for_write(), auto_declare=False)
        self.publisher = TaskPublisher(self.settings)
        self.states = TaskStates(self.settings)
        login = file_login(self.settings, "result_backend")
        self.keys = KeyStore(url, lease=30, keep=60, key_prefix=key_prefix, login=login)
        self.counts = RequestCounts(url, key_prefix, login)
        rpc = RpcSettings(broker_url=secret, key_prefix=key_prefix)
        self.producer = EventProducer.connect(RabbitMQSettings(), rpc)

    async def close(self) -> None:
        self.publisher.close()
        connection: Any = self.beat.connection
        connection.close()
        await self.states.close()
        await self.keys.close()
        await self.counts.close()
        self.celery.close()
        await asyncio.to_thread(self.producer.close)

    async def publish(self) -> None:
        await self.publisher.send("some.task", queue="low")

    async def send(self) -> None:
        """As beat, which keeps its connection."""
        send = partial(self.celery.send_task, producer=self.beat, retry=False)
        try:
            await asyncio.to_thread(send, "some.task", queue="low")
        except KombuError as error:
            raise ConnectionError from error

    async def count(self) -> int:
        with TaskLists(self.settings) as lists:
            return await asyncio.to_thread(lists.count_waiting, "low")

    async def take(self) -> bool:
        return await asyncio.to_thread(self._take)

    def _take(self) -> bool:
        with self.celery.connection_for_read() as connection:
            channel: Any = connection.default_channel
            message = channel.basic_get("low")
            if message:
                channel.basic_ack(message.delivery_tag)
            return message is not None

    async def store(self) -> None:
        """The worker stores a state, and the API reads it."""
        task_id = uuid4().hex
        backend = self.celery.backend
        await asyncio.to_thread(backend.store_result, task_id, None, "STARTED")
        async with asyncio.timeout(20):  # a replica may answer, a moment later
            while await self.states.get(task_id) != "STARTED":
                await asyncio.sleep(0.01)

    async def claim(self) -> None:
        assert isinstance(await self.keys.claim(uuid4().hex, "f"), Claim)

    async def count_request(self) -> None:
        if await self.counts.add(uuid4().hex, 60, 1) != 1:
            raise ConnectionError

    async def call(self) -> None:
        found = await asyncio.to_thread(self.producer.client.wait_connected, 5)
        assert found, "RPC does not connect"


@pytest.fixture
async def connect() -> AsyncIterator[Callable[..., Clients]]:
    async with AsyncExitStack() as stack:

        def connect(url: str, key_prefix: str = "") -> Clients:
            clients = Clients(url, key_prefix)
            stack.push_async_callback(clients.close)
            return clients

        yield connect


@pytest.fixture(params=["user", "socket", "tls", "unverified", "sentinel"])
async def url(
    request: pytest.FixtureRequest,
    own_redis: OwnRedis,
    tls_port: int,
    certificate: Path,
) -> str:
    own_redis.connect().flushall()
    at = f"{LOGIN}@localhost"
    if request.param == "sentinel":
        sentinel = request.getfixturevalue("sentinel")
        query = f"master_name={MASTER}&sentinel_password={MASTER}"
        # The first of the two does not answer.
        return f"sentinel://{at}:1;sentinel://127.0.0.1:{sentinel.port}/0?{query}"
    return {
        "user": f"redis://{at}:{own_redis.port}",
        "socket": f"unix://{LOGIN}@{quote(str(own_redis.socket))}?db=0",
        "tls": f"rediss://{at}:{tls_port}/0?ssl_ca_certs={certificate}",
        "unverified": f"rediss://{LOGIN}@127.0.0.1:{tls_port}/0"
        "?ssl_cert_reqs=CERT_NONE",
    }[str(request.param)]


async def test_every_client_reaches_it(
    connect: Callable[..., Clients], url: str
) -> None:
    clients = connect(url)
    await clients.publish()
    assert await clients.count() == 1
    assert await clients.take()
    await clients.store()
    await clients.claim()
    await clients.count_request()
    await clients.call()


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
async def test_no_client_talks_to_an_unverified_server(
    connect: Callable[..., Clients], tls_port: int, certificate: Path, host: str
) -> None:
    """By default, without the CA, or under another name than the certificate's."""
    ca = f"?ssl_ca_certs={certificate}" if host == "127.0.0.1" else ""
    clients = connect(f"rediss://{host}:{tls_port}/0{ca}")
    ours = (clients.publish, clients.claim, clients.states.check)
    theirs = (clients.count, clients.store, clients.count_request)
    ends = await asyncio.gather(
        *(way() for way in (*ours, *theirs)), return_exceptions=True
    )
    assert all(isinstance(end, Unavailable) for end in ends[: len(ours)])
    assert all(isinstance(end, RedisError | OSError) for end in ends[len(ours) :])
    assert not clients.producer.client.wait_connected(0.1)


async def test_two_systems_share_a_database(
    connect: Callable[..., Clients], own_redis: OwnRedis
) -> None:
    own_redis.connect().flushall()
    url = own_redis.url(0)
    one, other = connect(url, "one:"), connect(url, "other:")
    await one.publish()
    assert (await one.count(), await other.count()) == (1, 0)
    assert not await other.take()
    assert await one.take()
    for each in (one, other):
        await each.publish()
        await each.store()
        await each.claim()
        await each.count_request()
    redis: Any = own_redis.connect()
    await one.call()
    keys = {str(key, "ascii").partition(":")[0] for key in redis.keys()}
    assert keys == {"one", "other"}


async def until(way: Callable[[], Awaitable[Any]], seconds: float = 30) -> None:
    """Try until it works."""
    last = time.monotonic() + seconds
    while True:
        try:
            await way()
            return
        except (Unavailable, RedisError, OSError):
            if time.monotonic() > last:
                raise
            await asyncio.sleep(0.05)


async def test_a_new_password_in_the_file_needs_no_restart(
    connect: Callable[..., Clients],
    own_redis: OwnRedis,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    file = tmp_path / "url"
    for name in ("CELERY_BROKER", "CELERY_RESULT_BACKEND", "RPC_BROKER"):
        variable = name if name.endswith("BACKEND") else f"{name}_URL"
        monkeypatch.setenv(f"{variable}_FILE", str(file))

    def change(password: str) -> str:
        url = f"redis://turning:{password}@127.0.0.1:{own_redis.port}/0"
        file.write_text(f"{url}\n")
        server: Any = own_redis.connect()
        server.acl_setuser(
            "turning",
            enabled=True,
            reset_passwords=True,
            passwords=[f"+{password}"],
            keys=["*"],
            channels=["*"],
            categories=["+@all"],
        )
        server.client_kill_filter(_type="normal", skipme=True)
        return url

    own_redis.connect().flushall()
    clients = connect(change("first"))
    ways: list[Callable[[], Awaitable[Any]]] = [
        *(clients.publish, clients.send, clients.count, clients.store),
        *(clients.claim, clients.call),
    ]
    for way in ways:
        await way()
    change("second/#")  # makes no valid URL, so the old one stays
    with pytest.raises((Unavailable, RedisError, OSError)):
        await clients.claim()
    change("second")
    for way in ways:
        await until(way)


async def test_after_a_failover_every_client_leaves_the_replica(
    connect: Callable[..., Clients], own_redis: OwnRedis, redis_server: Redis
) -> None:
    """As behind a DNS name: open connections lead to the old primary."""
    async with Forwarder(own_redis).open() as name:
        clients = connect(f"redis://127.0.0.1:{name.port}/0")
        ways = (
            *(clients.publish, clients.send, clients.store, clients.claim),
            clients.count_request,
        )
        for way in ways:
            await way()
        own_redis.connect().replicaof("127.0.0.1", str(redis_server.port))
        try:
            name.target = redis_server
            for way in ways:
                await until(way)
        finally:
            own_redis.connect().replicaof("NO", "ONE")
    redis_server.connect().flushall()


async def test_sentinel_names_the_new_primary(
    connect: Callable[..., Clients],
    sentinel: Sentinel,
    own_redis: OwnRedis,
    replica: OwnRedis,
) -> None:
    query = f"?master_name={MASTER}&sentinel_password={MASTER}"
    clients = connect(f"sentinel://{LOGIN}@127.0.0.1:{sentinel.port}/0{query}")
    ways = (clients.publish, clients.store, clients.claim, clients.count_request)
    for way in ways:
        await until(way)
    await asyncio.to_thread(own_redis.kill)
    await clients.claim()  # waits for it
    for way in ways:
        await until(way)
    assert replica.connect().llen("low") >= 1


@pytest.mark.budget("key_store.FAILOVER")
async def test_no_request_waits_for_sentinels_in_a_lasting_outage(
    connect: Callable[..., Clients], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(key_store, "FAILOVER", 2)
    clients = connect(f"sentinel://127.0.0.1:{free_port()}/0?master_name={MASTER}")
    waits = []
    for _ in range(4):
        began = time.monotonic()
        with pytest.raises(KeyStoreUnavailable):
            await clients.claim()
        waits.append(time.monotonic() - began)
    assert waits[0] > 2 and min(waits[1:]) < 0.5
