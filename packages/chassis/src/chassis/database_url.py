"""URLs of PostgreSQL, as providers hand them out, checked and taken apart.

libpq itself reads the URL, so every word of its manual is known.
"""

import os
import re
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar, NamedTuple
from urllib.parse import quote, unquote

import psycopg2
from psycopg2.extensions import parse_dsn

SCHEMES = ("postgresql", "postgres", "pgsql")
EXAMPLE = "postgresql://user:password@host:5432/database"

SESSIONS = "any read-write read-only primary standby prefer-standby"
CHOICES = {
    "sslmode": "disable allow prefer require verify-ca verify-full",
    "target_session_attrs": SESSIONS,
    "channel_binding": "disable prefer require",
    "gssencmode": "disable prefer require",
    "sslnegotiation": "postgres direct",
    "load_balance_hosts": "disable random",
    "ssl_min_protocol_version": "TLSv1 TLSv1.1 TLSv1.2 TLSv1.3",
    "ssl_max_protocol_version": "TLSv1 TLSv1.1 TLSv1.2 TLSv1.3",
}
NUMBERS = (
    "connect_timeout",
    "keepalives",
    "keepalives_idle",
    "keepalives_interval",
    "keepalives_count",
    "tcp_user_timeout",
)

CONNECT_SECONDS = 3
# Ends a statement on a connection that the network has dropped.
PSYCOPG2_DEFAULTS = {
    "connect_timeout": CONNECT_SECONDS,
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "tcp_user_timeout": 60_000,  # milliseconds
}


class Host(NamedTuple):
    """A server; without a name, the drivers look on this machine."""

    name: str
    port: int


class PostgresUrl:
    """A URL that is known to be valid.

    Raises:
        ValueError: it is not; the message never shows a value that may be secret.
    """

    #: What to do about a word that libpq does not know.
    ADVICE: ClassVar[Mapping[str, str]] = {}

    def __init__(self, text: str) -> None:
        self.words = _check(_parse(text.strip(), self.ADVICE))

    @property
    def password(self) -> str | None:
        """None if the URL has none: it may come from elsewhere, such as pgpass."""
        return self.words.get("password")

    @property
    def login(self) -> dict[str, str]:
        """User and password, as both drivers name them."""
        return {n: self.words[n] for n in ("user", "password") if n in self.words}

    @property
    def hosts(self) -> list[Host]:
        """The servers, in the order in which to try them."""
        names = self.words.get("host", "").split(",")
        ports = [int(p or 5432) for p in self.words.get("port", "").split(",")]
        if len(ports) == 1:
            ports *= len(names)
        return [Host(*pair) for pair in zip(names, ports, strict=True)]

    @property
    def connect_timeout(self) -> int | None:
        """Seconds for each host; None for no limit, as in libpq."""
        seconds = int(self.words.get("connect_timeout", CONNECT_SECONDS))
        return max(seconds, 2) if seconds > 0 else None

    def for_psycopg2(self) -> dict[str, Any]:
        """The arguments of ``psycopg2.connect``."""
        return {**PSYCOPG2_DEFAULTS, **self.words}


def _parse(text: str, known: Mapping[str, str]) -> dict[str, str]:
    scheme, separator, rest = text.partition("://")
    if not separator or scheme.partition("+")[0].lower() not in SCHEMES:
        raise ValueError(f"write it as {EXAMPLE}")
    user, at, place = rest.partition("@")
    if "/" in user:
        user, at, place = "", "", rest
    place, _, query = place.partition("?")
    query = _in_words_of_libpq(query)
    try:
        found = parse_dsn(f"postgresql://{user}{at}{place}?{query}")
    except psycopg2.ProgrammingError as error:
        # libpq's message may quote the password.
        if word := re.search(r'invalid URI query parameter: "(\w+)"', str(error)):
            advice = known.get(word[1], "remove it")
            raise ValueError(
                f"PostgreSQL's drivers do not know {word[1]}: {advice}"
            ) from None
        raise ValueError(
            f"it is not a valid URL; write it as {EXAMPLE}, and percent-encode "
            "special characters of user and password, such as %40 for @ and %25 for %"
        ) from None
    return {word: value for word, value in found.items() if value != ""}


def _in_words_of_libpq(query: str) -> str:
    """The query with ``host=a:1&host=b:2``, as SQLAlchemy has it, as
    ``host=a,b&port=1,2``, and with asyncpg's ``ssl`` as ``sslmode``."""
    others, hosts = [], []
    for word, _, value in (pair.partition("=") for pair in query.split("&") if pair):
        if word == "host":
            hosts += [_split(host) for host in unquote(value).split(",")]
        elif word == "ssl" and value != "true":
            others.append(f"sslmode={value}")
        else:
            others.append(f"{word}={value}")
    if hosts:
        others.append("host=" + quote(",".join(name for name, _ in hosts), safe=""))
    if any(port for _, port in hosts):
        others.append("port=" + ",".join(port or "5432" for _, port in hosts))
    return "&".join(others)


def _split(host: str) -> tuple[str, str]:
    """Name and port of ``name:port``, ``[::1]:port``, ``::1`` or a folder."""
    if match := re.fullmatch(r"\[(.+)\](?::(\d+))?|([^/:]+):(\d+)", host):
        return match[1] or match[3], match[2] or match[4] or ""
    return host, ""


def _check(words: dict[str, str]) -> dict[str, str]:
    for word, choices in CHOICES.items():
        if word in words and words[word] not in choices.split():
            raise ValueError(f"{word} must be one of {choices.replace(' ', ', ')}")
    for word in NUMBERS:
        if word in words and not re.fullmatch(r"-?\d+", words[word]):
            raise ValueError(f"{word} must be a whole number")
    names, ports = words.get("host", "").split(","), words.get("port", "").split(",")
    if any("@" in name for name in names):
        raise ValueError("percent-encode @ in user and password as %40")
    if any(p and not (p.isdecimal() and 0 < int(p) < 65536) for p in ports):
        raise ValueError(
            "a port must be a number from 1 to 65535; percent-encode special "
            "characters of user and password, such as %2F for /"
        )
    if len(ports) not in (1, len(names)):
        raise ValueError("write one port, or one for each host")
    _check_certificates(words)
    return words


def _check_certificates(words: dict[str, str]) -> None:
    """Find files that are missing or damaged at start, not in each request."""
    if words.get("sslrootcert") == "system":
        # psycopg2's wheel has an OpenSSL of its own, which looks elsewhere.
        authorities = ssl.get_default_verify_paths().cafile
        if authorities is None:
            raise ValueError("sslrootcert=system: this machine has no CA certificates")
        if words.setdefault("sslmode", "verify-full") != "verify-full":
            raise ValueError("sslrootcert=system needs sslmode=verify-full")
        words["sslrootcert"] = authorities
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    for word in ("sslrootcert", "sslcrl"):
        if path := words.get(word):
            with _naming(word, path):
                context.load_verify_locations(path)
    certificate, key = words.get("sslcert"), words.get("sslkey")
    if bool(certificate) != bool(key):
        raise ValueError("sslcert and sslkey need each other")
    if certificate and key:
        with _naming("sslcert, sslkey", f"{certificate}, {key}"):
            secret = words.get("sslpassword", "")
            context.load_cert_chain(certificate, key, lambda: secret)
    has_own_ca = "sslrootcert" in words or os.environ.get("PGSSLROOTCERT")
    if words.get("sslmode", "").startswith("verify-") and not has_own_ca:
        if not (Path.home() / ".postgresql" / "root.crt").exists():
            raise ValueError(
                "this sslmode needs sslrootcert: the file of the CA, or system for "
                "public ones"
            )


@contextmanager
def _naming(word: str, path: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:  # ssl.SSLError is one
        is_damaged = isinstance(error, ssl.SSLError)
        reason = "it is not in PEM format" if is_damaged else error.strerror
        raise ValueError(f"{word}: {path} cannot be read: {reason}") from None
