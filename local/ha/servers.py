"""The clusters of the lab: three nodes of each server, one in each zone."""

import secrets
import shutil
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor

from local import install
from local.apps import ROOT
from local.extras import install_extras
from local.ha import network
from local.ha.etcd import CLIENTS, PEERS, Etcd
from local.ha.network import ZONES, Host, Loopback
from local.ha.node import Node
from local.ha.postgres import PORT, REST, Member, ReplicatedPostgreSQL
from local.ha.rabbitmq import (
    AMQP,
    DISTRIBUTION,
    MANAGEMENT,
    MAPPER,
    Cluster,
    ClusterNode,
    Mapper,
)
from local.ha.redis import (
    MASTER,
    REDIS,
    SENTINEL,
    ReplicatedRedis,
    Sentinel,
    primary_of,
)
from local.ports import free_port
from local.process import Cancelled, ProcessFailed
from local.servers.rabbitmq import find_script
from local.stack import start_all, stop_all
from local.state import State

REQUIREMENTS = ROOT / "deploy" / "ha" / "patroni" / "requirements.txt"
JOINING = 180.0  # seconds until a new node is a full member


class Clusters:
    """All servers; `start` returns when every node is a full member."""

    def __init__(self, state: State, network: Loopback) -> None:
        def hosts(kind: str) -> list[Host]:
            return [network.host(kind, zone) for zone in ZONES]

        # Hosts of the loopback range share their ports with this machine's servers.
        def port(standard: int) -> int:
            return standard if network.can_cut else free_port()

        self.state = state
        clients, peers = port(CLIENTS), port(PEERS)
        self.etcd = [Etcd(state, host, clients, peers) for host in hosts("etcd")]
        own, rest = port(PORT), port(REST)
        self.members = [
            Member(state, host, self.etcd, port=own, rest=rest)
            for host in hosts("postgres")
        ]
        amqp, management, mapper, distribution = map(
            port, (AMQP, MANAGEMENT, MAPPER, DISTRIBUTION)
        )
        cookie = secrets.token_hex(10)
        self.rabbitmq = [
            ClusterNode(
                state,
                host,
                port=amqp,
                management=management,
                mapper=mapper,
                distribution=distribution,
                cookie=cookie,
            )
            for host in hosts("rabbitmq")
        ]
        own_networks = [[host] for host in hosts("rabbitmq")]
        # Each takes 127.0.0.1, too: on loopback there can be only one.
        mapped = own_networks if network.can_cut else [hosts("rabbitmq")]
        self.mappers = [Mapper(state, sharing, mapper) for sharing in mapped]
        redis, sentinel = port(REDIS), port(SENTINEL)
        self.redis = [ReplicatedRedis(state, host, redis) for host in hosts("redis")]
        self.sentinels = [Sentinel(state, host, sentinel) for host in hosts("sentinel")]
        self._introduce()

    def _introduce(self) -> None:
        for member in self.etcd:
            member.others = [other for other in self.etcd if other is not member]
        for node in self.rabbitmq:
            node.others = [other for other in self.rabbitmq if other is not node]
        for sentinel in self.sentinels:
            sentinel.others = [each for each in self.sentinels if each is not sentinel]
            sentinel.first = self.redis[0].place
        for server in self.redis:
            server.sentinels, server.first = self.sentinels, self.redis[0].place

    @property
    def nodes(self) -> list[Node]:
        """Each of them."""
        brokers = [*self.rabbitmq, *self.redis, *self.sentinels]
        return [*self.etcd, *self.members, *brokers]

    @property
    def postgres(self) -> ReplicatedPostgreSQL:
        """PostgreSQL as clients see it."""
        return ReplicatedPostgreSQL(self.members)

    @property
    def broker(self) -> Cluster:
        """RabbitMQ as clients see it."""
        return Cluster(self.rabbitmq)

    def primary_redis(self) -> ReplicatedRedis | None:
        """The server that takes writes, as the Sentinels say."""
        place = primary_of(self.sentinels)
        return next((each for each in self.redis if each.place == place), None)

    def redis_url(self, database: int) -> str:
        """One numbered database of the primary."""
        sentinels = ";".join(f"sentinel://{each.at}" for each in self.sentinels)
        return f"{sentinels}/{database}?master_name={MASTER}"

    def environment(self) -> dict[str, str]:
        """Variables that tell our processes about these servers."""
        broker = self.broker
        # Each node has it at the standard port; only one address can be written down.
        is_standard = self.rabbitmq[0].management_port == MANAGEMENT
        return {
            "ENVIRONMENT": "development",
            "PYTHONUNBUFFERED": "1",
            **self.postgres.environment(),
            "CELERY_BROKER_URL": self.redis_url(0),
            "CELERY_RESULT_BACKEND": self.redis_url(0),
            "IDEMPOTENCY_REDIS_URL": self.redis_url(1),
            "RABBITMQ_HOST": broker.hosts,
            "RABBITMQ_PORT": str(broker.port),
            "RABBITMQ_USER": broker.user,
            "RABBITMQ_PASSWORD": broker.password,
            "RABBITMQ_VHOST": broker.vhost,
            "RABBITMQ_MANAGEMENT_URL": "" if is_standard else broker.management_url,
        }

    def start(self) -> None:
        """Start all nodes, each kind in its order."""

        def relational() -> None:
            start_all(self.etcd)
            start_all(self.members)
            self.wait_whole(self.members)
            self.postgres.create_database()

        def messages() -> None:
            start_all(self.mappers)
            self.rabbitmq[0].start()
            start_all(self.rabbitmq[1:])

        def keys() -> None:
            start_all(self.redis)
            start_all(self.sentinels)
            self.wait_whole([*self.redis, *self.sentinels])

        in_parallel(relational, messages, keys)

    def stop(self) -> None:
        """Stop all nodes; those that others need come last."""
        stop_all([*self.members, *self.rabbitmq, *self.redis, *self.sentinels])
        stop_all([*self.etcd, *self.mappers])

    def wait_whole(self, nodes: Iterable[Node], within: float = JOINING) -> None:
        """Return when each is a full member. Raises ProcessFailed."""
        until = time.monotonic() + within
        waiting = list(nodes)
        while waiting := [node for node in waiting if not node.is_whole()]:
            if time.monotonic() > until:
                raise waiting[0].child.failure(f"joined not within {within:.0f} s")
            if self.state.cancelled.wait(0.2):
                raise Cancelled(waiting[0].name)

    def whole_kind(self, node: Node, within: float = JOINING) -> None:
        """Wait until all nodes of its kind are full members."""
        alike = (each for each in self.nodes if each.kind == node.kind)
        self.wait_whole(alike, within)


def in_parallel(*actions: Callable[[], None]) -> None:
    """Run all; when all are done, raise the first failure."""
    with ThreadPoolExecutor(max_workers=len(actions)) as pool:
        for future in [pool.submit(action) for action in actions]:
            future.result()


def require(say: Callable[[str], None]) -> None:
    """Install what the lab needs. Raises ProcessFailed where that is not possible."""
    install.install_missing(say)
    needed = ["etcd-server"] if shutil.which("etcd") is None else []
    if network.may_cut():
        needed += network.missing_packages()
    install.install(needed, say)
    if shutil.which("etcd") is None:
        raise ProcessFailed("this needs etcd: install the package etcd-server")
    if find_script() is None:
        raise ProcessFailed("this needs rabbitmq-server on this machine")
    install_extras(REQUIREMENTS)
