"""How to reach RabbitMQ: RPC_BROKER_URL and RABBITMQ_* become one
:class:`RabbitMQServer` for callers, services, the management API and tools."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from chassis.amqp_url import SCHEMES, TLS_PORT, AmqpUrl, Host, parse_hosts, parse_url

if TYPE_CHECKING:
    from chassis.settings import RabbitMQSettings, RpcSettings

#: Where RabbitMQ's management API listens by default.
MANAGEMENT_PORT, TLS_MANAGEMENT_PORT = 15672, 15671
#: Seconds to connect: to the only node, or to one of several.
CONNECT_TIMEOUT, FAILOVER_TIMEOUT = 3.0, 1.0


@dataclass(frozen=True)
class RabbitMQServer:
    """A broker, of one node or several, and how to log in.

    ``..._from`` name the variables, for messages.
    """

    hosts: tuple[Host, ...]
    user: str
    password: str = field(repr=False)
    vhost: str
    is_tls: bool
    ca_file: str | None
    cert_file: str | None
    key_file: str | None
    verifies: bool
    server_name: str | None
    mechanism: str
    heartbeat: int
    connect_timeout: float
    management_urls: tuple[str, ...]
    monitoring_user: str
    monitoring_password: str = field(repr=False)
    credentials_from: str
    monitoring_from: str
    vhost_from: str

    def __str__(self) -> str:
        return ", ".join(bracketed(host) for host, _ in self.hosts)


def bracketed(host: str) -> str:
    """An IPv6 address in brackets, as URLs need it; other hosts as they are."""
    return f"[{host}]" if ":" in host else host


def rabbitmq_server(
    rabbitmq: "RabbitMQSettings", rpc: "RpcSettings | None" = None
) -> RabbitMQServer | None:
    """The broker of RPC_BROKER_URL or RABBITMQ_*; None if calls go over Redis."""
    url = rpc.broker_url.get_secret_value() if rpc and rpc.broker_url else None
    if url is None:
        default = TLS_PORT if _has_default_tls_port(rabbitmq) else rabbitmq.port
        parsed = AmqpUrl(
            parse_hosts(rabbitmq.host, default),
            rabbitmq.user,
            rabbitmq.password.get_secret_value(),
            rabbitmq.vhost or "/",
            rabbitmq.ssl,
            {},
        )
    elif url.lower().startswith(SCHEMES):
        parsed = parse_url(url)
    else:
        return None
    given = parsed.options
    milliseconds = given.get("connection_timeout")
    several = len(parsed.hosts) > 1
    login = "RPC_BROKER_URL" if url else "RABBITMQ_USER, RABBITMQ_PASSWORD"
    own_certificate = "certfile" in given or "keyfile" in given
    return RabbitMQServer(
        hosts=parsed.hosts,
        user=parsed.user,
        password=parsed.password,
        vhost=parsed.vhost,
        is_tls=parsed.is_tls,
        ca_file=given.get("cacertfile") or rabbitmq.ssl_ca_file,
        cert_file=given.get("certfile") if own_certificate else rabbitmq.ssl_cert_file,
        key_file=given.get("keyfile") if own_certificate else rabbitmq.ssl_key_file,
        verifies=given.get("verify") != "verify_none",
        server_name=given.get("server_name_indication"),
        mechanism=given.get("auth_mechanism", "plain").upper(),
        heartbeat=int(given.get("heartbeat", rabbitmq.heartbeat_seconds)),
        connect_timeout=(
            int(milliseconds) / 1000
            if milliseconds
            else FAILOVER_TIMEOUT if several else CONNECT_TIMEOUT
        ),
        management_urls=_management_urls(rabbitmq, parsed),
        monitoring_user=rabbitmq.monitoring_user or parsed.user,
        monitoring_password=_monitoring_password(rabbitmq, parsed),
        credentials_from=login,
        monitoring_from=(
            "RABBITMQ_MONITORING_USER, RABBITMQ_MONITORING_PASSWORD"
            if rabbitmq.monitoring_user
            else login
        ),
        vhost_from="RPC_BROKER_URL" if url else "RABBITMQ_VHOST",
    )


def _has_default_tls_port(rabbitmq: "RabbitMQSettings") -> bool:
    return rabbitmq.ssl and "port" not in rabbitmq.model_fields_set


def _monitoring_password(rabbitmq: "RabbitMQSettings", url: AmqpUrl) -> str:
    if not rabbitmq.monitoring_user:
        return url.password
    password = rabbitmq.monitoring_password
    return password.get_secret_value() if password else ""


def _management_urls(rabbitmq: "RabbitMQSettings", url: AmqpUrl) -> tuple[str, ...]:
    if rabbitmq.management_url:
        return (rabbitmq.management_url.rstrip("/"),)
    # Never send the password in the clear if AMQP does not.
    scheme, port = (
        ("https", TLS_MANAGEMENT_PORT) if url.is_tls else ("http", MANAGEMENT_PORT)
    )
    return tuple(
        dict.fromkeys(f"{scheme}://{bracketed(host)}:{port}" for host, _ in url.hosts)
    )


def check_management_url(url: str) -> str:
    """Raises ValueError if it is not a base URL."""
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        raise ValueError("must be a URL such as https://host:15671") from None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("must be a URL such as https://host:15671")
    if parts.username is not None or parts.query or parts.fragment:
        raise ValueError("must have no user, password or query: RABBITMQ_USER logs in")
    return url
