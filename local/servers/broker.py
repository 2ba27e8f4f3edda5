"""A RabbitMQ that can be reached, whoever runs it."""

from collections.abc import Mapping
from urllib.parse import quote

import amqp

from chassis.amqp_url import parse_hosts
from local import ports
from local.process import ProcessFailed
from local.tls import Tls

USER, PASSWORD = "guest", "welcome1"


class Broker:
    """How to reach it, and what it says of itself."""

    host: str
    #: Of a cluster, all of its nodes.
    hosts: str
    port: int
    user: str
    password: str
    vhost: str
    management_url: str
    tls: Tls | None = None

    def url(self, vhost: str | None = None) -> str:
        """An AMQP URL with credentials."""
        name = quote(self.vhost if vhost is None else vhost, safe="")
        scheme = "amqps" if self.tls else "amqp"
        return f"{scheme}://{self.user}:{self.password}@{self.endpoint}/{name}"

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
            ssl=self._tls_options(),
            connect_timeout=2,
            read_timeout=2,
        )

    def _tls_options(self) -> dict[str, object] | bool:
        if self.tls is None:
            return False
        return {"ca_certs": str(self.tls.ca), "server_hostname": self.host}

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


class ExternalRabbitMQ(Broker):
    """The RabbitMQ of `RABBITMQ_HOST`: used, never started or stopped.

    Of several nodes, `host` is the first; processes get `hosts`, all of them.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        get = environment.get
        self.hosts = environment["RABBITMQ_HOST"]
        port = int(get("RABBITMQ_PORT", "5672"))
        self.host, self.port = parse_hosts(self.hosts, port)[0]
        self.user = get("RABBITMQ_USER", USER)
        self.password = get("RABBITMQ_PASSWORD", PASSWORD)
        self.vhost = get("RABBITMQ_VHOST", "/")
        self.management_url = get(
            "RABBITMQ_MANAGEMENT_URL", f"http://{ports.at(15672, self.host)}"
        )

    def require(self) -> None:
        """Raises ProcessFailed when it lets nobody in: retries would hide that."""
        try:
            with self.connect():
                return
        except (OSError, amqp.AMQPError) as error:
            raise ProcessFailed(
                f"cannot use the RabbitMQ at {self.endpoint}: {error}\n"
                "Check RABBITMQ_HOST, RABBITMQ_PORT, RABBITMQ_USER, RABBITMQ_PASSWORD "
                "and RABBITMQ_VHOST."
            ) from error
