"""The transport of Celery's tasks: one redis-py client per channel."""

from collections.abc import Callable
from typing import Any

import pytest
from celery import Celery
from kombu import Connection
from kombu.transport.redis import Transport

from app.core.redis_settings import CelerySettings
from app.infrastructure.celery import create_celery, create_publisher
from app.infrastructure.celery_transport import (
    FreeingQoS,
    FreeingSentinelTransport,
    KeptClientTransport,
)
from local.servers.redis import Redis

CreateApp = Callable[[CelerySettings], Celery]


@pytest.mark.parametrize("create", [create_celery, create_publisher])
@pytest.mark.parametrize(
    ("scheme", "transport"),
    [
        ("redis", KeptClientTransport),
        ("rediss", KeptClientTransport),
        ("sentinel", FreeingSentinelTransport),
    ],
)
def test_worker_and_api_use_it(
    create: CreateApp, scheme: str, transport: type[Transport]
) -> None:
    create(CelerySettings())
    used = Connection(f"{scheme}://nobody").transport
    assert type(used) is transport and used.Channel.QoS is FreeingQoS


def test_a_channel_keeps_its_client(redis_server: Redis) -> None:
    create_publisher(CelerySettings())
    with Connection(redis_server.url(0)) as connection:
        first: Any = connection.channel()
        second: Any = connection.channel()
        with first.conn_or_acquire() as client, first.conn_or_acquire() as again:
            assert client is again
        with first.conn_or_acquire(client) as given, second.conn_or_acquire() as other:
            assert given is client is not other
        first._disconnect_pools()  # as kombu does when it has lost Redis
        with first.conn_or_acquire() as new:
            assert new is not client
