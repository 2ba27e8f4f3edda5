"""Redis: a primary, two replicas, and three Sentinels that choose the primary."""

import hashlib
import time
from collections.abc import Sequence
from contextlib import suppress

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from local.apps import ROOT
from local.ha.network import Host
from local.ha.node import Node
from local.process import ProcessFailed
from local.servers.base import Command, plain_environment
from local.servers.redis import find_binary
from local.state import State

MASTER = "main"
REDIS, SENTINEL = 6379, 26379  # ports
HANDOVER = 15.0  # seconds until another server is the primary
Address = tuple[str, int]

# The rest is as in containers.
_SETTINGS = ROOT / "deploy" / "ha" / "redis"
_SERVER = """\
bind {host}
port {port}
protected-mode no
maxmemory-policy noeviction
{replica}
"""
_SENTINEL = """\
bind {host}
port {port}
protected-mode no
dir .
sentinel myid {identity}
sentinel monitor {master} {primary} {primary_port} 2
"""


class _Redis(Node):
    """What both kinds have in common."""

    def __init__(self, state: State, host: Host, port: int) -> None:
        super().__init__(state, host, port)
        self.place: Address = (host.address, port)

    def connect(self) -> redis.Redis:
        """A client with short timeouts."""
        host, port = self.place
        return redis.Redis(
            host=host,
            port=port,
            socket_timeout=1,
            socket_connect_timeout=1,
            retry=Retry(NoBackoff(), 0),
            decode_responses=True,
        )

    def ready(self) -> bool:
        try:
            with self.connect() as client:
                return bool(client.ping())
        except redis.RedisError:
            return False

    def _run(self, file: str, configuration: str, *words: str) -> Command:
        binary = find_binary()
        if binary is None:
            raise ProcessFailed("there is no redis-server on this machine")
        path = self.folder / file
        if not path.exists() or not words:
            path.write_text(configuration)
        argv = [*self.machine.prefix, str(binary), file, *words]
        return Command(argv, self.folder, plain_environment())


class Sentinel(_Redis):
    """One of those that watch the servers."""

    kind = "sentinel"

    def __init__(self, state: State, host: Host, port: int = SENTINEL) -> None:
        super().__init__(state, host, port)
        self.others: list[Sentinel] = []
        self.first: Address = ("", 0)

    def command(self) -> Command:
        primary, port = primary_of(self.others) or self.first
        own, own_port = self.place
        # A new one in the same place has the same identity: otherwise the others
        # would count the lost one when they vote.
        identity = hashlib.sha1(self.name.encode(), usedforsecurity=False).hexdigest()
        configuration = _SENTINEL.format(
            host=own,
            port=own_port,
            identity=identity,
            master=MASTER,
            primary=primary,
            primary_port=port,
        )
        configuration += (
            (_SETTINGS / "master.conf").read_text().replace("MASTER", MASTER)
        )
        return self._run("sentinel.conf", configuration, "--sentinel")

    def primary(self) -> Address | None:
        """Where it says that the primary is; None if it says nothing."""
        try:
            with self.connect() as client:
                found = client.execute_command(
                    "SENTINEL", "GET-MASTER-ADDR-BY-NAME", MASTER
                )
        except redis.RedisError:
            return None
        return (str(found[0]), int(found[1])) if found else None

    def is_whole(self) -> bool:
        """Whether it knows the other two, and both replicas."""
        try:
            with self.connect() as client:
                told = client.execute_command("SENTINEL", "MASTER", MASTER)
        except redis.RedisError:
            return False
        told = told if isinstance(told, dict) else dict(zip(told[::2], told[1::2]))
        known = (told["num-other-sentinels"], told["num-slaves"], told["flags"])
        return tuple(map(str, known)) == ("2", "2", "master")


class ReplicatedRedis(_Redis):
    """One of the servers: the primary, or a replica of it."""

    kind = "redis"

    def __init__(self, state: State, host: Host, port: int = REDIS) -> None:
        super().__init__(state, host, port)
        self.sentinels: list[Sentinel] = []
        self.first: Address = ("", 0)

    def command(self) -> Command:
        primary = primary_of(self.sentinels) or self.first
        host, port = self.place
        replica = "replicaof {} {}".format(*primary) if primary != self.place else ""
        configuration = _SERVER.format(host=host, port=port, replica=replica)
        configuration += (_SETTINGS / "redis.conf").read_text()
        return self._run("redis.conf", configuration)

    def step_down(self) -> None:
        until = time.monotonic() + HANDOVER
        while primary_of(self.sentinels) == self.place:
            with suppress(redis.RedisError), self.sentinels[0].connect() as client:
                # Refused while a failover runs, or while no replica is good enough.
                client.execute_command("SENTINEL", "FAILOVER", MASTER)
            if time.monotonic() > until or self.state.cancelled.wait(0.3):
                return

    def is_whole(self) -> bool:
        """Whether it replicates, or both others replicate it."""
        try:
            with self.connect() as client:
                said = client.info("replication")
        except redis.RedisError:
            return False
        if said["role"] == "master":
            return int(said["connected_slaves"]) == 2
        return bool(said["master_link_status"] == "up")

    def waiting(self) -> int:
        """How many clients wait for tasks (BRPOP)."""
        try:
            with self.connect() as client:
                return sum(each["cmd"] == "brpop" for each in client.client_list())
        except redis.RedisError:
            return 0


def primary_of(sentinels: Sequence[Sentinel]) -> Address | None:
    """Where the first Sentinel that answers says that the primary is."""
    for sentinel in sentinels:
        if found := sentinel.primary():
            return found
    return None
