"""The URLs and host lists of RabbitMQ, as its specification has them:
https://www.rabbitmq.com/docs/uri-spec and
https://www.rabbitmq.com/docs/uri-query-parameters.
"""

import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qsl, unquote

PORT, TLS_PORT = 5672, 5671
SCHEMES = ("amqp://", "amqps://")

#: The query words of a URL, and what may follow each.
WORDS = {
    "auth_mechanism": "plain|external",
    "cacertfile": ".+",
    "certfile": ".+",
    "connection_timeout": "[1-9][0-9]{0,6}",
    "heartbeat": "[1-9][0-9]{0,4}",
    "keyfile": ".+",
    "server_name_indication": "[^/:]+",
    "verify": "verify_peer|verify_none",
}
_MEANINGS = {
    "connection_timeout": "milliseconds above 0",
    "heartbeat": "seconds above 0",
    "server_name_indication": "a host name",
}

Host = tuple[str, int]


@dataclass(frozen=True)
class AmqpUrl:
    """The parts of a URL. ``options`` are the words after ``?``."""

    hosts: tuple[Host, ...]
    user: str
    password: str = field(repr=False)
    vhost: str
    is_tls: bool
    options: Mapping[str, str]


def parse_hosts(text: str, default_port: int) -> tuple[Host, ...]:
    """Hosts, separated by commas or semicolons, each with or without a port.

    Raises:
        ValueError: with what is wrong, and no password.
    """
    return tuple(_host(each.strip(), default_port) for each in re.split("[,;]", text))


def _host(text: str, default_port: int) -> Host:
    if re.fullmatch(r"[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*", text):
        return text, default_port  # IPv6 without brackets has no port
    found = re.fullmatch(
        r"(?:\[(?P<v6>[0-9A-Fa-f:.]+(?:%[\w.]+)?)\]|(?P<name>[\w.-]+))"
        r"(?::(?P<port>\d{1,5})?)?",
        text,
    )
    if not found:
        raise ValueError(
            "write hosts as name, name:port or [IPv6 address]:port, separated by commas"
        )
    port = int(found["port"] or default_port)
    if not 1 <= port <= 65535:
        raise ValueError("a port must be between 1 and 65535")
    return found["v6"] or found["name"], port


def parse_url(text: str) -> AmqpUrl:
    """An ``amqp://`` or ``amqps://`` URL, or several that differ in their hosts.

    Raises:
        ValueError: with what is wrong, and no password.
    """
    urls = [
        _parse_one(each) for each in re.split("(?i)[,;](?=amqps?://)", text.strip())
    ]
    first = urls[0]
    for other in urls[1:]:
        if (other.user, other.password, other.vhost, other.is_tls, other.options) != (
            *(first.user, first.password, first.vhost, first.is_tls, first.options),
        ):
            raise ValueError("several URLs may differ in their hosts only")
    hosts = tuple(dict.fromkeys(host for url in urls for host in url.hosts))
    return AmqpUrl(
        *(hosts, first.user, first.password, first.vhost, first.is_tls, first.options)
    )


def _parse_one(text: str) -> AmqpUrl:
    if not text.lower().startswith(SCHEMES):
        raise ValueError("must begin with amqp:// or amqps://")
    scheme, _, rest = text.partition("://")
    if "#" in rest:
        raise ValueError("has a #: write it as %23")
    # Not urlsplit: it refuses several hosts with ports.
    rest, _, query = rest.partition("?")
    authority, slash, path = rest.partition("/")
    credentials, _, hosts = authority.rpartition("@")
    if "@" in credentials:
        raise ValueError("has an @ in user or password: write it as %40")
    user, _, password = credentials.partition(":")
    if ":" in password:
        raise ValueError("has a : in the password: write it as %3A")
    if "/" in path.removeprefix("/"):
        raise ValueError("has a / in the virtual host: write it as %2F")
    is_tls = scheme.lower() == "amqps"
    return AmqpUrl(
        parse_hosts(hosts, TLS_PORT if is_tls else PORT),
        _decoded(user) if credentials else "guest",
        _decoded(password) if credentials else "guest",
        _decoded(path) or "/",
        is_tls,
        _options(query, is_tls),
    )


def _decoded(text: str) -> str:
    if re.search("%(?![0-9A-Fa-f]{2})", text):
        raise ValueError("has a % that begins no code: write it as %25")
    try:
        return unquote(text, errors="strict")
    except UnicodeDecodeError:
        raise ValueError("has percent codes that are not UTF-8") from None


def _options(query: str, is_tls: bool) -> dict[str, str]:
    options: dict[str, str] = {}
    for word, value in parse_qsl(query, keep_blank_values=True):
        if word not in WORDS:
            raise ValueError(f"{word} is unknown; known are {', '.join(WORDS)}")
        if word in options:
            raise ValueError(f"{word} is there twice")
        if not re.fullmatch(WORDS[word], value):
            wanted = _MEANINGS.get(word) or WORDS[word].replace("|", " or ")
            raise ValueError(f"{word} must be {wanted.replace('.+', 'a file')}")
        if not is_tls and word in ("cacertfile", "certfile", "keyfile", "verify"):
            raise ValueError(f"{word} needs amqps://")
        options[word] = value
    for word in ("cacertfile", "certfile", "keyfile"):
        if word in options:
            check_readable(options[word])
    check_certificates(
        options.get("cacertfile"), options.get("certfile"), options.get("keyfile")
    )
    if options.get("auth_mechanism") == "external" and not is_tls:
        raise ValueError("auth_mechanism=external needs amqps://")
    return options


def check_readable(path: str) -> None:
    """Raises ValueError if the file cannot be read."""
    try:
        Path(path).read_bytes()
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}") from None


def check_certificates(
    ca_file: str | None, cert_file: str | None, key_file: str | None
) -> None:
    """Raises ValueError if the files are not certificates, or do not fit together."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if ca_file:
        try:
            context.load_verify_locations(ca_file)
        except ssl.SSLError:
            raise ValueError(f"{ca_file} has no certificate (PEM)") from None
    if key_file and not cert_file:
        raise ValueError("there is a client key without a client certificate")
    if cert_file:
        try:
            # An encrypted key would ask for its password at the terminal.
            context.load_cert_chain(cert_file, key_file, password=lambda: "")
        except (ssl.SSLError, ValueError):
            raise ValueError(
                f"{cert_file} and {key_file or 'its key'} are not a certificate and "
                "its key (PEM, not encrypted)"
            ) from None
