"""The URL of a Redis, read in one way for kombu, Celery and redis-py, which differ.

redis://user:password@host:6379/0
rediss://host:6379/0?ssl_ca_certs=/run/ca.pem       TLS, verified
unix:///run/redis.sock?db=0                         or redis+socket://
sentinel://:password@one:26379;sentinel://two:26379/0?master_name=main
"""

import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self
from urllib.parse import SplitResult, parse_qsl, quote, unquote, urlsplit

SCHEMES = ("redis", "rediss", "valkey", "valkeys", "unix", "redis+socket", "sentinel")
SOCKETS = ("unix", "redis+socket")
PORT, SENTINEL_PORT = 6379, 26379
LOCAL = "localhost"

# As redis-py spells them; Celery and kombu also take those of Python's ssl module.
CHECKS = {
    f"{prefix}{name}": name
    for name in ("required", "optional", "none")
    for prefix in ("", "cert_")
}
FILES = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile")
YES_AND_NO = {"true": True, "1": True, "yes": True}
YES_AND_NO.update({"false": False, "0": False, "no": False})
TLS_OPTIONS = (*FILES, "ssl_cert_reqs", "ssl_check_hostname")
SENTINEL_OPTIONS = ("master_name", "sentinel_username", "sentinel_password")
OPTIONS = ("db", "virtual_host", "ssl", *TLS_OPTIONS, *SENTINEL_OPTIONS)


@dataclass(frozen=True)
class RedisUrl:
    """One Redis: its place, login, and how to verify it.

    ``tls`` holds redis-py's options ``ssl_...``; None without TLS. ``hosts`` are
    Sentinels if there is a ``master_name``, and none if there is a ``socket``.
    """

    hosts: tuple[tuple[str, int], ...] = ()
    socket: str | None = None
    database: int = 0
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    tls: Mapping[str, Any] | None = None
    master_name: str | None = None
    sentinel_login: Mapping[str, str] = field(default_factory=dict, repr=False)

    @classmethod
    def read(cls, url: str) -> Self:
        """Read a URL.

        Raises:
            ValueError: it cannot be used. The message says why, and shows no part that
                may be secret.
        """
        scheme = _scheme(url)
        # As in kombu: sentinel://one:26379;sentinel://two:26379/0
        splits = [urlsplit(part) for part in re.split(r";(?=\w+://)", url)]
        hosts = [host for split in splits for host in _hosts(split, scheme)]
        if len(hosts) > 1 and scheme != "sentinel":
            raise ValueError(
                "names several hosts: write sentinel:// if they are Sentinels. A Redis "
                "Cluster does not work, because Celery has no transport for it"
            )
        query = _query(splits)
        login = next((each for each in splits if "@" in each.netloc), splits[0])
        database = _database(scheme, splits, query)
        username = unquote(login.username or "") or None
        password = unquote(login.password or "") or None
        if scheme in SOCKETS:
            if not unquote(splits[0].path).strip("/") or hosts[0][0] != LOCAL:
                raise ValueError("write a socket as unix:///run/redis.sock?db=0")
            _refuse("a socket", query, ("ssl", *TLS_OPTIONS, *SENTINEL_OPTIONS))
            path = unquote(splits[0].path)
            return cls((), path, database, username, password)
        is_sentinel = scheme == "sentinel"
        if is_sentinel and not query.get("master_name"):
            raise ValueError("add ?master_name=NAME: the name that Sentinels watch")
        if not is_sentinel:
            _refuse(f"{scheme}://", query, SENTINEL_OPTIONS)
        return cls(
            tuple(hosts),
            None,
            database,
            username,
            password,
            _tls(scheme, query),
            query.get("master_name"),
            {
                name.removeprefix("sentinel_"): query[name]
                for name in SENTINEL_OPTIONS[1:]
                if name in query
            },
        )

    def check_files(self) -> None:
        """Raise ValueError if a file is missing or has no certificate. Later, Redis
        would only seem not to answer."""
        tls = self.tls or {}
        files = [str(tls[name]) for name in FILES if name in tls]
        for file in files:
            try:
                open(file, "rb").close()
            except OSError as error:
                raise ValueError(f"{file} cannot be read: {error.strerror}") from None
        try:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            if "ssl_ca_certs" in tls:
                context.load_verify_locations(tls["ssl_ca_certs"])
            if "ssl_certfile" in tls:
                context.load_cert_chain(tls["ssl_certfile"], tls.get("ssl_keyfile"), "")
        except ssl.SSLError as error:
            raise ValueError(
                f"{', '.join(files)}: not a certificate (PEM), or not its key: "
                f"{error.reason}"
            ) from None

    @property
    def login(self) -> dict[str, Any]:
        """Database and credentials, as redis-py's options."""
        login = {"username": self.username, "password": self.password}
        return {"db": self.database} | {k: v for k, v in login.items() if v}

    @property
    def kombu_url(self) -> str:
        """For kombu and for Celery's result backend; TLS is not part of it."""
        user, password = quote(self.username or "", ""), quote(self.password or "", "")
        login = f"{user}:{password}@" if user or password else ""
        if self.socket:
            path = quote(self.socket)
            return f"redis+socket://{login}{path}?virtual_host={self.database}"
        scheme = "rediss" if self.tls is not None else "redis"
        scheme = "sentinel" if self.master_name else scheme
        # kombu takes the login of the host that it tries.
        return ";".join(
            f"{scheme}://{login}{_address(host, port)}/{self.database}"
            for host, port in self.hosts
        )

    @property
    def sentinel_options(self) -> dict[str, Any]:
        """redis-py's options for the Sentinels themselves: login and TLS."""
        tls = {} if self.tls is None else {"ssl": True, **self.tls}
        return {**self.sentinel_login, **tls}

    def is_same_server(self, other: "RedisUrl") -> bool:
        """Whether both lead to one server, whatever their users and databases."""
        if self.master_name != other.master_name or self.socket != other.socket:
            return False
        return self.socket is not None or not set(self.hosts).isdisjoint(other.hosts)


def _scheme(url: str) -> str:
    scheme = url.partition("://")[0].lower() if "://" in url else ""
    if "cluster" in scheme:
        raise ValueError(
            "a Redis Cluster does not work, because Celery has no transport for it: "
            "name a Redis without cluster mode"
        )
    if scheme not in SCHEMES:
        raise ValueError(f"must begin with one of {', '.join(SCHEMES)} and ://")
    return scheme


def _hosts(split: SplitResult, scheme: str) -> list[tuple[str, int]]:
    if split.fragment or re.search(r"\s", split.geturl()):
        raise ValueError(
            "has a # or a space: percent-encode the characters of the password that "
            "have a meaning in URLs, such as @ as %40, # as %23, / as %2F"
        )
    default = SENTINEL_PORT if scheme == "sentinel" else PORT
    found = []
    for place in re.split("[;,]", split.netloc.rpartition("@")[2]):
        try:
            host = urlsplit(f"//{place}")
            if host.port == 0:
                raise ValueError
            found.append((unquote(host.hostname or LOCAL), host.port or default))
        except ValueError:
            raise ValueError(
                "has no valid host and port: a port is a number from 1 to 65535. A / "
                "or ? in the password must be percent-encoded, as %2F or %3F"
            ) from None
    return found


def _query(splits: list[SplitResult]) -> dict[str, str]:
    query: dict[str, str] = {}
    for split in splits:
        query.update(parse_qsl(split.query, keep_blank_values=True))
    unknown = sorted(set(query).difference(OPTIONS))
    if unknown:
        # A name may be the rest of a password with a question mark.
        known = all(re.fullmatch(r"[a-z]+(_[a-z]+)+", name) for name in unknown)
        which = ", ".join(unknown) if known else "an option"
        raise ValueError(
            f"has {which} after the ? that is not supported. Supported are "
            f"{', '.join(OPTIONS)}; the kit chooses timeouts and connections itself"
        )
    return query


def _database(scheme: str, splits: list[SplitResult], query: dict[str, str]) -> int:
    path = "" if scheme in SOCKETS else unquote(splits[-1].path or splits[0].path)
    text = query.get("db") or query.get("virtual_host") or path.strip("/") or "0"
    if not (text.isascii() and text.isdigit()):
        raise ValueError(
            "the path must be the number of a database: write redis://host:6379/0"
        )
    return int(text)


def _address(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _refuse(what: str, query: dict[str, str], names: tuple[str, ...]) -> None:
    for name in names:
        if name in query:
            raise ValueError(f"{name} has no meaning for {what}")


def _tls(scheme: str, query: dict[str, str]) -> dict[str, Any] | None:
    asked = _choice("ssl", query, YES_AND_NO)
    has_tls = scheme in ("rediss", "valkeys")
    if asked is False and has_tls:
        raise ValueError(f"ssl=false contradicts {scheme}://: write redis://")
    if not (has_tls or asked):
        way = "add ssl=true" if scheme == "sentinel" else "write rediss://"
        for name in TLS_OPTIONS:
            if name in query:
                raise ValueError(f"{name} needs TLS: {way}")
        return None
    tls = {
        "ssl_cert_reqs": _choice("ssl_cert_reqs", query, CHECKS) or "required",
        "ssl_check_hostname": _choice("ssl_check_hostname", query, YES_AND_NO)
        is not False,
    }
    if tls["ssl_cert_reqs"] == "none":
        tls["ssl_check_hostname"] = False
    for name in FILES:
        if name in query:
            tls[name] = query[name]
    return tls


def _choice(name: str, query: dict[str, str], choices: Mapping[str, Any]) -> Any:
    if name not in query:
        return None
    value = query[name].lower()
    if value not in choices:
        raise ValueError(f"{name} must be one of {', '.join(choices)}")
    return choices[value]
