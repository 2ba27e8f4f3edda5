"""Chooses the broker of a process from its settings."""

import os
import socket
from collections.abc import Iterator
from itertools import cycle

from chassis.rabbitmq import rabbitmq_server
from chassis.rpc.amqp import AmqpConnection
from chassis.rpc.connection import BrokerConnection
from chassis.rpc.redis import RedisConnection
from chassis.settings import RabbitMQSettings, RpcSettings


def connections(
    rabbitmq: RabbitMQSettings, rpc: RpcSettings, name: str
) -> Iterator[BrokerConnection]:
    """A new connection for each attempt, not yet open, to RPC_BROKER_URL or to the
    server of RABBITMQ_*: of several nodes to each in turn, in the order given.

    RabbitMQ shows this process as ``name`` with its host and process id.
    """
    server = rabbitmq_server(rabbitmq, rpc)
    if server is None:
        assert rpc.broker_url
        while True:
            yield RedisConnection(
                rpc.broker_url.get_secret_value(), rabbitmq.ssl_ca_file
            )
    shown = f"{name}@{socket.gethostname()}:{os.getpid()}"
    for host in cycle(server.hosts):
        yield AmqpConnection(server, host, shown)


def new_connection(
    rabbitmq: RabbitMQSettings, rpc: RpcSettings, name: str
) -> BrokerConnection:
    """One connection, to the first node."""
    return next(connections(rabbitmq, rpc, name))
