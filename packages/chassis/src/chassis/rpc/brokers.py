"""Chooses the broker of a process from its settings."""

import os
import socket

from chassis.rpc.amqp import AmqpConnection
from chassis.rpc.connection import BrokerConnection
from chassis.rpc.redis import RedisConnection
from chassis.settings import RabbitMQSettings, RpcSettings


def new_connection(
    rabbitmq: RabbitMQSettings, rpc: RpcSettings, name: str
) -> BrokerConnection:
    """A connection, not yet open, to RPC_BROKER_URL or to the server of RABBITMQ_*.

    RabbitMQ shows this process as ``name`` with its host and process id.
    """
    url = rpc.broker_url.get_secret_value() if rpc.broker_url else None
    if url and not url.lower().startswith(("amqp:", "amqps:")):
        return RedisConnection(url, rabbitmq.ssl_ca_file)
    return AmqpConnection(rabbitmq, url, f"{name}@{socket.gethostname()}:{os.getpid()}")
