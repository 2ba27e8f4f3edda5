"""Which broker a process talks to, by its settings."""

import os
import socket

from chassis.rpc.amqp import AmqpConnection
from chassis.rpc.connection import BrokerConnection
from chassis.rpc.redis import RedisConnection
from chassis.settings import RabbitMQSettings, RpcSettings


def new_connection(
    rabbitmq: RabbitMQSettings, rpc: RpcSettings, name: str
) -> BrokerConnection:
    """A connection to be opened: to RPC_BROKER_URL, or to what RABBITMQ_* says.

    ``name`` is what RabbitMQ shows of this process, beside its host and number.
    """
    url = rpc.broker_url.get_secret_value() if rpc.broker_url else None
    if url and url.startswith(("redis:", "rediss:")):
        return RedisConnection(url, rabbitmq.ssl_ca_file)
    return AmqpConnection(rabbitmq, url, f"{name}@{socket.gethostname()}:{os.getpid()}")
