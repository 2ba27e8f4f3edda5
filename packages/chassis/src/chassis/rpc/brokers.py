"""Chooses the broker of a process from its settings."""

import os
import random
import socket
from collections.abc import Iterator
from itertools import count

from chassis.rabbitmq import rabbitmq_server
from chassis.rpc.amqp import AmqpConnection
from chassis.rpc.connection import BrokerConnection
from chassis.rpc.redis import RedisConnection
from chassis.settings import RabbitMQSettings, RpcSettings


def connections(
    rabbitmq: RabbitMQSettings, rpc: RpcSettings, name: str
) -> Iterator[BrokerConnection]:
    """A new connection for each attempt, not yet open, to RPC_BROKER_URL or to the
    server of RABBITMQ_*: of several nodes to each in turn, in an order of this caller's
    own, so that nodes share the clients. Secrets come from their files each time, which
    may have new ones.

    RabbitMQ shows this process as ``name`` with its host and process id.
    """
    shown = f"{name}@{socket.gethostname()}:{os.getpid()}"
    order = random.random()  # nosec: not a secret
    for attempt in count():
        server = rabbitmq_server(rabbitmq, rpc)
        if server:
            number = len(server.hosts)
            hosts = random.Random(order).sample(server.hosts, number)  # nosec: the same
            yield AmqpConnection(server, hosts[attempt % number], shown)
        else:
            assert rpc.broker_url
            url = rpc.broker_url.get_secret_value()
            yield RedisConnection(url, rabbitmq.ssl_ca_file, rpc.key_prefix)
        rabbitmq, rpc = rabbitmq.read_again(), rpc.read_again()


def new_connection(
    rabbitmq: RabbitMQSettings, rpc: RpcSettings, name: str
) -> BrokerConnection:
    """One connection, to any node."""
    return next(connections(rabbitmq, rpc, name))
