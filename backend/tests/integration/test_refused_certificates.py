"""No client talks to a server whose certificate is wrong, and each says why in its log.

The handshake fails before the first word, so any port with TLS may play the server.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from app.core import database_errors
from app.core.auth_settings import AuthSettings
from app.core.database import Database, create_sync_engine, translate_errors
from app.core.database_settings import DatabaseSettings
from app.core.exceptions import Unavailable
from app.core.redis_settings import CelerySettings
from app.core.webhook_settings import WebhookSettings
from app.infrastructure.celery import create_celery
from app.infrastructure.http import HttpConnections
from app.infrastructure.identity.provider import Provider
from app.infrastructure.rabbitmq_management import ManagementApi
from app.infrastructure.redis.key_store import KeyStore
from app.infrastructure.redis.request_counts import RequestCounts
from app.infrastructure.redis.task_states import TaskStates
from app.infrastructure.task_publisher import TaskPublisher
from app.infrastructure.webhook_sender import WebhookSender
from chassis.events.publisher import EventPublisher
from chassis.outages import Outage
from chassis.rpc.client import RpcClient
from chassis.rpc.producers import AsyncEventProducer, EventProducer
from chassis.settings import RabbitMQSettings, RpcSettings
from local.tests.wrong_certificates import KINDS, REASONS, TlsPort, wrong
from tests.integration.responder import wait_until

Attempt = Callable[[int, Path], Awaitable[None]]


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def place(kind: str, tmp_path: Path) -> Iterator[tuple[TlsPort, Path]]:
    """The port, and the authority that clients trust."""
    trusted, shown = wrong(tmp_path, kind)
    port = TlsPort(shown.server("redis"))
    yield port, trusted.ca
    port.listener.close()


def redis_url(port: int, ca: Path) -> str:
    return f"rediss://127.0.0.1:{port}/0?ssl_ca_certs={ca}"


async def publish(port: int, ca: Path) -> None:
    url = SecretStr(redis_url(port, ca))
    publisher = TaskPublisher(CelerySettings(broker_url=url, result_backend=url))
    try:
        await publisher.send("some.task")
    finally:
        publisher.close()


async def claim(port: int, ca: Path) -> None:
    keys = KeyStore(redis_url(port, ca), lease=30, keep=60)
    try:
        await keys.claim("key", "fingerprint")
    finally:
        await keys.close()


async def look(port: int, ca: Path) -> None:
    url = SecretStr(redis_url(port, ca))
    states = TaskStates(CelerySettings(broker_url=url, result_backend=url))
    try:
        await states.check()
    finally:
        await states.close()


def database(port: int, ca: Path) -> DatabaseSettings:
    query = f"sslmode=verify-full&sslrootcert={ca}"
    url = f"postgresql://user:word@127.0.0.1:{port}/name?{query}"
    return DatabaseSettings(database_url=SecretStr(url))


async def ask_database(port: int, ca: Path) -> None:
    asked = Database(database(port, ca))
    try:
        await asked.check()
    finally:
        await asked.close()


async def ask_database_in_a_task(port: int, ca: Path) -> None:
    def connect() -> None:
        with translate_errors():
            create_sync_engine(database(port, ca)).connect()

    await asyncio.to_thread(connect)


def rabbitmq(port: int, ca: Path) -> RabbitMQSettings:
    return RabbitMQSettings(
        host="127.0.0.1",
        port=port,
        ssl=True,
        ssl_ca_file=str(ca),
        management_url=f"https://127.0.0.1:{port}",
    )


async def ask_management(port: int, ca: Path) -> None:
    await asyncio.to_thread(ManagementApi(rabbitmq(port, ca)).read_queues)


async def call(port: int, ca: Path) -> None:
    producer = EventProducer.connect(rabbitmq(port, ca), RpcSettings())
    try:
        await asyncio.to_thread(producer.call, "some_queue", {}, timeout=2)
    finally:
        await asyncio.to_thread(producer.close)


ATTEMPTS: dict[str, Attempt] = {
    "tasks": publish,
    "idempotency keys": claim,
    "states": look,
    "database": ask_database,
    "database of tasks": ask_database_in_a_task,
    "management": ask_management,
    "calls": call,
}


async def call_from_the_api(port: int, ca: Path) -> None:
    client = RpcClient(rabbitmq(port, ca), RpcSettings())
    client.start()
    await asyncio.to_thread(client.wait_connected, 0.5)
    await AsyncEventProducer(client, 1).close()


async def call_over_redis(port: int, ca: Path) -> None:
    url = SecretStr(redis_url(port, ca))
    producer = EventProducer.connect(rabbitmq(port, ca), RpcSettings(broker_url=url))
    try:
        await asyncio.to_thread(producer.call, "some_queue", {}, timeout=0.5)
    finally:
        await asyncio.to_thread(producer.close)


async def publish_events(port: int, ca: Path) -> None:
    publisher = EventPublisher(rabbitmq(port, ca), RpcSettings(), "events", "relay")
    await asyncio.to_thread(publisher.open)


async def take_tasks(port: int, ca: Path) -> None:
    url = SecretStr(redis_url(port, ca))
    celery = create_celery(CelerySettings(broker_url=url, result_backend=url))
    with celery.connection_for_read() as connection:
        channel: Any = await asyncio.to_thread(connection.channel)
        await asyncio.to_thread(channel.client.ping)


async def store_results(port: int, ca: Path) -> None:
    url = SecretStr(redis_url(port, ca))
    celery = create_celery(CelerySettings(broker_url=url, result_backend=url))
    backend: Any = celery.backend
    await asyncio.to_thread(backend.client.ping)


async def count_requests(port: int, ca: Path) -> None:
    counts = RequestCounts(redis_url(port, ca))
    try:
        await counts.add("caller", 60, 1)
    finally:
        await counts.close()


async def fetch_keys(port: int, ca: Path) -> None:
    issuer = f"https://127.0.0.1:{port}"
    provider = Provider(AuthSettings(issuer=issuer, audience="a", ca_file=str(ca)))
    try:
        await provider.refresh()  # type: ignore[misc]
    finally:
        await provider.close()


async def ask_another_server(port: int, ca: Path) -> None:
    connections = HttpConnections()
    try:
        client = await connections.get()
        await client.get(f"https://127.0.0.1:{port}")
    finally:
        await connections.close()


async def send_webhook(port: int, ca: Path) -> None:
    settings = WebhookSettings(allowed_networks="127.0.0.1", timeout_seconds=2)
    async with WebhookSender(settings, allows_http=False) as sender:
        await sender.post(f"https://127.0.0.1:{port}", "{}", {})


# They fail in ways of their own; all that counts is that they say nothing.
OTHERS: dict[str, Attempt] = {
    "calls of the API": call_from_the_api,
    "calls over Redis": call_over_redis,
    "events": publish_events,
    "worker": take_tasks,
    "results": store_results,
    "rate limits": count_requests,
    "identity provider": fetch_keys,
    "other servers": ask_another_server,
    "webhooks": send_webhook,
}


@pytest.mark.promise("docs/SECURITY.md", "The client does not send a byte.")
@pytest.mark.promise(
    "docs/SECURITY.md",
    "Every client verifies the certificate and the name of its server.",
)
@pytest.mark.parametrize("client", OTHERS)
async def test_no_client_says_a_word_to_it(
    client: str, place: tuple[TlsPort, Path]
) -> None:
    server, ca = place
    with suppress(Exception):
        await OTHERS[client](server.port, ca)
    wait_until(lambda: server.accepted > 0)  # its thread may be late
    assert not server.heard


@pytest.mark.promise(
    "ARCHITECTURE.md",
    "TLS is one option in every mode; each client verifies its server",
)
@pytest.mark.parametrize("client", ATTEMPTS)
async def test_it_is_refused_and_the_log_says_why(
    client: str,
    kind: str,
    place: tuple[TlsPort, Path],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(database_errors, "_outage", Outage("PostgreSQL"))
    server, ca = place
    # libpq has one sentence for all that is wrong with a chain.
    reason = f"{REASONS[kind]}|certificate is not trusted .certificate verify failed"
    if client != "database of tasks":
        reason = f"not trusted .*({REASONS[kind]})"

    def is_told() -> bool:
        return re.search(reason, caplog.text) is not None

    for _ in range(5):  # on a busy machine, the handshake may take all of its time
        with pytest.raises(Exception) as failed:
            await ATTEMPTS[client](server.port, ca)
        assert isinstance(failed.value, Unavailable) or client == "calls"
        if is_told():
            break
    wait_until(is_told, 5)
    wait_until(lambda: server.accepted > 0)  # its thread may be late
    assert not server.heard
