"""A RabbitMQ that can be reached, whoever runs it."""

import os
from pathlib import Path
from typing import Any
from urllib.parse import quote

import amqp

from chassis.amqp_url import SCHEMES
from local import ports

USER, PASSWORD = "guest", "welcome1"


class Broker:
    """How to reach it, and what it says of itself."""

    host: str
    #: Of a cluster, all of its nodes, with their ports.
    hosts: str = ""
    port: int
    user: str
    password: str
    vhost: str
    management_url: str
    #: Whether RPC_BROKER_URL names it.
    is_by_url = False
    #: py-amqp's options for TLS; False without.
    tls: dict[str, Any] | bool = False
    #: The authority of our own certificates, for our processes.
    ca: Path | None = None

    def url(self, vhost: str | None = None) -> str:
        """An AMQP URL with credentials."""
        name = quote(self.vhost if vhost is None else vhost, safe="")
        user, password = quote(self.user, safe=""), quote(self.password, safe="")
        scheme = "amqps" if self.tls else "amqp"
        hosts = self.hosts or self.endpoint
        return f"{scheme}://{user}:{password}@{hosts}/{name}"

    @property
    def endpoint(self) -> str:
        """Host and port."""
        return ports.at(self.port, self.host)

    def connect(self, vhost: str | None = None) -> amqp.Connection:
        """A connection with short timeouts, for probes and tests; use it in a `with`
        block."""
        return amqp.Connection(
            self.endpoint,
            userid=self.user,
            password=self.password,
            virtual_host=self.vhost if vhost is None else vhost,
            connect_timeout=2,
            read_timeout=2,
            ssl=self.tls,
        )

    @property
    def address(self) -> str:
        """Its management pages, and who may see them."""
        return f"{self.management_url} ({self.user} / {self.password})"

    def version(self) -> str:
        """What the broker says of itself."""
        with self.connect() as connection:
            properties = getattr(connection, "server_properties", {})
            return str(properties.get("version", ""))

    def answers(self) -> bool:
        """Whether an AMQP handshake with the credentials succeeds."""
        try:
            with self.connect():
                return True
        except (OSError, amqp.AMQPError):
            return False

    def consumers(self, queue: str, vhost: str | None = None) -> int:
        """How many consumers a queue has; 0 without the queue or the broker."""
        try:
            with self.connect(vhost) as connection:
                answer = connection.channel().queue_declare(queue, passive=True)
                return answer[2] if answer else 0
        except (OSError, amqp.AMQPError):
            return 0


def names_rabbitmq() -> bool:
    """Whether the environment names one to use."""
    url = os.environ.get("RPC_BROKER_URL", "").lower()
    return url.startswith(SCHEMES) or bool(os.environ.get("RABBITMQ_HOST"))
