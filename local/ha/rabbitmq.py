"""Three nodes of RabbitMQ, which keep every quorum queue on all of them."""

import base64
import json
import os
import secrets
import shutil
import subprocess
import urllib.request
from pathlib import Path

import amqp

from local import ports
from local.apps import ROOT
from local.ha.network import Host
from local.ha.node import Node
from local.process import ProcessFailed
from local.servers.base import Command, Server, plain_environment
from local.servers.broker import PASSWORD, USER, Broker
from local.servers.rabbitmq import find_script, node_variables
from local.state import State

LEAVE = ROOT / "rabbitmq" / "leave.sh"

AMQP, MANAGEMENT, MAPPER, DISTRIBUTION = 5672, 15672, 4369, 25672

# A node that is cut off from both others pauses: it neither takes nor loses messages.
# Erlang's usual minute until it notices a silent node would be far too long.
_CONFIGURATION = """\
listeners.tcp.1 = {at}
management.tcp.ip = {host}
management.tcp.port = {management}
default_user = {user}
default_pass = {password}
loopback_users = none
log.console = true
log.file = false
cluster_name = ha
cluster_formation.peer_discovery_backend = classic_config
{peers}
cluster_partition_handling = pause_minority
net_ticktime = 8
vm_memory_high_watermark.absolute = 512MiB
collect_statistics_interval = 10000
"""
_ERLANG = (
    "-noinput -kernel inet_dist_use_interface {{{interface}}} "
    "-kernel shutdown_timeout 1500 "
    # One scheduler without busy waiting: all share two cores.
    "+S 1:1 +sbwt none +sbwtdcpu none +sbwtdio none"
)


class Mapper(Server):
    """Erlang's port mapper, which nodes would start as a daemon of their own. It serves
    the hosts that share its network."""

    def __init__(self, state: State, hosts: list[Host], port: int = MAPPER) -> None:
        self.name = f"mapper-{hosts[0].zone}"
        super().__init__(state, 0)
        self.machine, self.mapper_port = hosts[0], port
        self._addresses = ",".join(host.address for host in hosts)

    def command(self) -> Command:
        binary = shutil.which("epmd")
        if binary is None:
            raise ProcessFailed("there is no epmd on this machine")
        argv = [*self.machine.prefix, binary, "-port", str(self.mapper_port)]
        environment = plain_environment(ERL_EPMD_ADDRESS=self._addresses)
        return Command(argv, self.folder, environment)

    def ready(self) -> bool:
        return ports.accepts(self.mapper_port, self.machine.address)


class ClusterNode(Broker, Node):
    """A node of the cluster; a replacement joins the others."""

    kind = "rabbitmq"
    start_timeout = 120.0
    stop_timeout = 20.0

    def __init__(
        self,
        state: State,
        host: Host,
        *,
        port: int = AMQP,
        management: int = MANAGEMENT,
        mapper: int = MAPPER,
        distribution: int = DISTRIBUTION,
        cookie: str = "",
    ) -> None:
        super().__init__(state, host, port)
        self.user, self.password, self.vhost = USER, PASSWORD, "/"
        self.amqp_port, self.management_port = port, management
        self._mapper, self._distribution = mapper, distribution
        self._cookie = cookie or secrets.token_hex(10)
        self.management_url = f"http://{ports.at(management, host.address)}"
        self.others: list[ClusterNode] = []

    @property
    def endpoint(self) -> str:
        return self.at

    @property
    def node(self) -> str:
        """Its name in the cluster."""
        return f"{self.name}@{self.name}"  # hosts may share one port mapper

    def command(self) -> Command:
        script = find_script()
        if script is None:
            raise ProcessFailed("there is no rabbitmq-server on this machine")
        nodes = [self, *self.others]
        self._write_names(nodes)
        if self.is_replacement:
            next(each for each in self.others if each.answers()).forget(self)
        peers = [
            f"cluster_formation.classic_config.nodes.{number} = {each.node}"
            for number, each in enumerate(sorted(nodes, key=lambda n: n.name), start=1)
        ]
        configuration = _CONFIGURATION.format(
            at=self.at,
            host=self.machine.address,
            management=self.management_port,
            user=self.user,
            password=self.password,
            peers="\n".join(peers),
        )
        (self.folder / "rabbitmq.conf").write_text(configuration)
        (self.folder / "enabled_plugins").write_text("[rabbitmq_management].\n")
        interface = self.machine.address.replace(".", ",")
        erlang = _ERLANG.format(interface=interface)
        environment = plain_environment(
            **self._environment(), **node_variables(self._distribution, erlang)
        )
        return Command([*self.machine.prefix, script], self.folder, environment)

    def ready(self) -> bool:
        return self.answers()

    def wait_ready(self) -> None:
        super().wait_ready()
        if self.is_replacement:  # every quorum queue gets a copy here
            self.control("rabbitmq-queues", "grow", self.node, "all")

    def step_down(self) -> None:
        folder = Path(find_script() or "").parent
        environment = self._environment() | {"PATH": f"{folder}:{os.environ['PATH']}"}
        # Fails for a node that stands still, which has no clients.
        subprocess.run(
            [*self.machine.prefix, str(LEAVE), str(self.amqp_port)],
            cwd=self.folder,
            env=plain_environment(**environment),
            check=False,
            capture_output=True,
            timeout=60,
        )

    def is_whole(self) -> bool:
        """Whether it sees the other nodes."""
        login = base64.b64encode(f"{self.user}:{self.password}".encode()).decode()
        request = urllib.request.Request(
            f"{self.management_url}/api/nodes",
            headers={"Authorization": f"Basic {login}"},
        )
        try:
            with ports.DIRECT.open(request, timeout=2) as answer:
                nodes = json.load(answer)
        except (OSError, ValueError):
            return False
        running = [node["name"] for node in nodes if node["running"]]
        return len(running) == 1 + len(self.others)

    def forget(self, lost: "ClusterNode") -> None:
        """Remove a lost node, and its copies of queues, from the cluster."""
        try:
            self.control("rabbitmqctl", "forget_cluster_node", lost.node)
        except subprocess.CalledProcessError as error:
            if b"not_a_cluster_node" not in error.stdout + error.stderr:
                raise

    def control(self, program: str, *arguments: str) -> str:
        """Run one of RabbitMQ's tools on this host; returns what it prints."""
        script = Path(find_script() or "").with_name(program)
        done = subprocess.run(
            [*self.machine.prefix, str(script), *arguments],
            cwd=self.folder,
            env=plain_environment(**self._environment()),
            check=True,
            capture_output=True,
            timeout=60,
        )
        return done.stdout.decode()

    def _write_names(self, nodes: list["ClusterNode"]) -> None:
        """How Erlang finds the hosts, and the secret that all nodes share."""
        lines = ["{lookup, [file, native]}."]
        for each in nodes:
            address = each.machine.address.replace(".", ",")
            lines.append(f'{{host, {{{address}}}, ["{each.name}"]}}.')
        (self.folder / "names").write_text("\n".join([*lines, ""]))
        cookie = self.folder / ".erlang.cookie"
        if not cookie.exists():
            cookie.touch(mode=0o600)
            cookie.write_text(self._cookie)

    def _environment(self) -> dict[str, str]:
        return {
            "HOME": str(self.folder),  # the cookie's folder
            "ERL_EPMD_PORT": str(self._mapper),
            "ERL_INETRC": str(self.folder / "names"),
            "RABBITMQ_NODENAME": self.node,
            "RABBITMQ_CONF_ENV_FILE": "./none",  # ignore the machine's configuration
        }


class Cluster(Broker):
    """The nodes as clients see them."""

    def __init__(self, nodes: list[ClusterNode]) -> None:
        self.nodes = nodes
        first = nodes[0]
        self.host, self.port = first.machine.address, first.amqp_port
        self.user, self.password, self.vhost = USER, PASSWORD, "/"
        self.hosts = ",".join(each.at for each in nodes)
        self.management_url = first.management_url

    def connect(self, vhost: str | None = None) -> amqp.Connection:
        """A connection to the first node that answers."""
        node = next((each for each in self.nodes if each.answers()), self.nodes[0])
        return node.connect(vhost)
