"""The RabbitMQ that the environment names. Not a part of `broker.py`, because few need
it and it imports what takes long."""

from typing import Any, TypeVar

import amqp
from pydantic import ValidationError
from pydantic_settings import PydanticBaseSettingsSource, SettingsError

from chassis.amqp_url import SCHEMES
from chassis.environment import Group, explain
from chassis.rabbitmq import bracketed, rabbitmq_server
from chassis.rpc.advice import broker_advice
from chassis.rpc.amqp import tls_options
from chassis.settings import RabbitMQSettings, RpcSettings
from local.process import ProcessFailed
from local.servers.broker import Broker

#: The message of a broker that cannot be used ends so.
CHECK = (
    "Check RPC_BROKER_URL, or RABBITMQ_HOST, RABBITMQ_PORT, RABBITMQ_USER, "
    "RABBITMQ_PASSWORD and RABBITMQ_VHOST."
)


class _Environment(Group):
    """Reads no `.env`, whose addresses are for containers."""

    @classmethod
    def settings_customise_sources(
        cls, *args: Any, **options: Any
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        *sources, _ = super().settings_customise_sources(*args, **options)
        return tuple(sources)


class _RabbitMQ(_Environment, RabbitMQSettings):
    """RABBITMQ_*."""


class _Rpc(_Environment, RpcSettings):
    """RPC_BROKER_URL."""


Chosen = TypeVar("Chosen", bound=Group)


def _read(group: type[Chosen]) -> Chosen:
    try:
        return group()
    except (ValidationError, SettingsError) as error:
        raise ProcessFailed("\n".join([*explain(group, error), CHECK])) from error


class ExternalRabbitMQ(Broker):
    """The RabbitMQ of RPC_BROKER_URL or RABBITMQ_*: used, never started or stopped.

    Of several nodes, `host` is the first that answers; processes get all of them.
    Raises ProcessFailed if the variables are invalid.
    """

    def __init__(self) -> None:
        rabbitmq, rpc = _read(_RabbitMQ), _read(_Rpc)
        url = rpc.broker_url.get_secret_value() if rpc.broker_url else ""
        self.is_by_url = url.lower().startswith(SCHEMES)
        server = rabbitmq_server(rabbitmq, rpc if self.is_by_url else None)
        assert server
        self._server = server
        self.user, self.password = server.user, server.password
        self.vhost = server.vhost
        self.management_url = server.management_urls[0]
        nodes = (f"{bracketed(host)}:{port}" for host, port in server.hosts)
        self.hosts = ",".join(nodes)
        self.host, self.port = server.hosts[0]
        self.tls = tls_options(server, self.host)

    def require(self) -> None:
        """Raises ProcessFailed when no node lets us in: retries would hide that."""
        said = []
        for self.host, self.port in self._server.hosts:
            self.tls = tls_options(self._server, self.host)
            try:
                with self.connect():
                    return
            except (OSError, amqp.AMQPError) as error:
                advice = broker_advice(self._server, error)
                said.append(f"cannot use the RabbitMQ at {self.endpoint}: {error}")
                said += [advice] if advice else []
        raise ProcessFailed("\n".join([*said, CHECK]))
