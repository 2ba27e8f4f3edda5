"""Where the nodes are: every server has a host of its own, with its own address.

Root makes each host a network namespace, so that it can be cut off: its packets are
dropped, in both directions, and nobody is told. Others get addresses of the loopback
range, where nothing can be cut.
"""

import hashlib
import os
import shutil
import subprocess
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

from local.process import Child, ProcessFailed
from local.servers.base import plain_environment
from local.state import State

ZONES = ("a", "b", "c")
KINDS = ("etcd", "postgres", "rabbitmq", "redis", "sentinel")
# What partitions need, and Debian's packages.
_TOOLS = {"ip": "iproute2", "iptables": "iptables", "nsenter": "util-linux"}
_PATH = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"
_DROPPED = (("INPUT", "-i"), ("OUTPUT", "-o"))


@dataclass(frozen=True)
class Host:
    """One machine of the lab; `prefix` stands before each command that runs on it."""

    zone: str
    name: str
    address: str
    prefix: tuple[str, ...] = ()


class Loopback:
    """Hosts for everybody: addresses of the loopback range."""

    network = "127.0.1"
    can_cut = False
    why = "partitions need root, and the programs ip, iptables and nsenter"

    def host(self, kind: str, zone: str) -> Host:
        """The host of a kind of server in a zone."""
        number = 10 * (1 + ZONES.index(zone)) + KINDS.index(kind)
        return Host(zone, f"{kind}-{zone}", f"{self.network}.{number}")

    @property
    def hosts(self) -> list[Host]:
        """All of them."""
        return [self.host(kind, zone) for zone in ZONES for kind in KINDS]

    def open(self) -> None:
        """Make the hosts."""

    def close(self) -> None:
        """Remove them."""

    def cut(self, host: Host) -> None:
        """Drop every packet to and from the host."""
        raise NotImplementedError(self.why)

    def mend(self, host: Host) -> None:
        """Let packets pass again."""
        raise NotImplementedError(self.why)


class Namespaces(Loopback):
    """Hosts that root makes: namespaces on a bridge, which has one of its own, so that
    no firewall of this machine stands between them."""

    can_cut = True
    why = ""

    def __init__(self, state: State) -> None:
        # The same for the same folder: what a killed lab left behind is found again.
        self._mark = hashlib.sha256(str(state.path).encode()).hexdigest()[:6]
        self.network = _free_network()
        self._keeper = Child("network", state)

    def host(self, kind: str, zone: str) -> Host:
        plain = super().host(kind, zone)
        enter = f"--net=/run/netns/{self._name(plain.name)}"
        prefix = (_find("nsenter"), enter, "--")
        return Host(zone, plain.name, plain.address, prefix)

    def open(self) -> None:
        self._remove()
        # It outlives us for a moment: namespaces do not end with their processes.
        removal = "; ".join(" ".join(words) for words in self._removal())
        script = f"trap '{removal}; exit' TERM; sleep infinity & wait"
        environment = plain_environment()
        self._keeper.start(["sh", "-c", script], cwd=Path("/"), env=environment)
        hub, uplink = self._name("hub"), f"kit{self._mark}"
        _ip("netns", "add", hub)
        _ip("-n", hub, "link", "add", "hub", "type", "bridge")
        _ip("-n", hub, "link", "set", "hub", "up")
        self._plug(uplink, "uplink")
        _ip("address", "add", f"{self.network}.1/24", "dev", uplink)
        _ip("link", "set", uplink, "up")
        for number, host in enumerate(self.hosts):
            name = self._name(host.name)
            _ip("netns", "add", name)
            _ip("-n", name, "link", "set", "lo", "up")
            self._plug("eth0", f"port{number}", name)
            _ip("-n", name, "address", "add", f"{host.address}/24", "dev", "eth0")
            _ip("-n", name, "link", "set", "eth0", "up")

    def close(self) -> None:
        self._keeper.kill()
        self._remove()

    def cut(self, host: Host) -> None:
        for chain, way in _DROPPED:
            self._filter(host, "-A", chain, "!", way, "lo", "-j", "DROP")

    def mend(self, host: Host) -> None:
        self._filter(host, "-F")

    def _filter(self, host: Host, *words: str) -> None:
        _call(*host.prefix, _find("iptables"), "-w", *words)

    def _plug(self, device: str, port: str, namespace: str | None = None) -> None:
        """Connect a device, here or in a namespace, to the bridge."""
        hub = self._name("hub")
        inside = [] if namespace is None else ["netns", namespace]
        peer = ["peer", "name", port, "netns", hub]
        _ip("link", "add", device, *inside, "type", "veth", *peer)
        _ip("-n", hub, "link", "set", port, "master", "hub", "up")

    def _name(self, host: str) -> str:
        return f"kit-{self._mark}-{host}"

    def _removal(self) -> Iterator[list[str]]:
        for host in [*(host.name for host in self.hosts), "hub"]:
            yield [_find("ip"), "netns", "delete", self._name(host)]

    def _remove(self) -> None:
        for words in self._removal():
            subprocess.run(words, capture_output=True)


def choose(state: State) -> Loopback:
    """The best network that this user may have."""
    if not may_cut() or missing_packages():
        return Loopback()
    return Namespaces(state)


def missing_packages() -> list[str]:
    """The packages of tools that partitions need and this machine lacks."""
    found = {tool: shutil.which(tool, path=_PATH) for tool in _TOOLS}
    return [package for tool, package in _TOOLS.items() if found[tool] is None]


def may_cut() -> bool:
    """Whether this user may make namespaces: containers often forbid it to root."""
    if os.geteuid() != 0:
        return False
    probe = ["unshare", "--net", "--mount", "true"]
    return subprocess.run(probe, capture_output=True).returncode == 0


def _free_network() -> str:
    """A network that no interface of this machine is in."""
    listed = psutil.net_if_addrs().values()
    taken = [each.address for addresses in listed for each in addresses]
    return free_network(taken)


def free_network(taken: Iterable[str]) -> str:
    """The first of 10.213.0.0/16 in which no address is taken."""
    used = {address.rpartition(".")[0] for address in taken}
    networks = (f"10.213.{number}" for number in range(1, 255))
    found = next((network for network in networks if network not in used), None)
    if found is None:
        raise ProcessFailed("every network of 10.213.0.0/16 is in use")
    return found


def _find(tool: str) -> str:
    return shutil.which(tool, path=_PATH) or tool


def _ip(*words: str) -> None:
    _call(_find("ip"), *words)


def _call(*words: str) -> None:
    result = subprocess.run(words, capture_output=True, text=True)
    if result.returncode:
        raise ProcessFailed(f"{' '.join(words)} failed:\n{result.stderr}")
