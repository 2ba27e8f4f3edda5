"""The faults, and their order."""

import random
from collections.abc import Callable
from dataclasses import dataclass

import psutil

from local.ha.network import ZONES
from local.ha.node import Node
from local.ha.rabbitmq import ClusterNode
from local.servers.base import Server
from tests.e2e.client import wait_for
from tests.ha.system import System

# Seconds until writes succeed again: the longest of the targets.
SOON, DATABASE, ZONE = 5.0, 15.0, 20.0
CUT = 30.0  # seconds of a partition, and of a server that hangs

Pick = Callable[[System], Server]
Mend = Callable[[], None]
Begin = Callable[[System], Mend]


@dataclass(frozen=True)
class Planned:
    """A fault to come: `begin` breaks something for `seconds`, or until clients have
    recovered, and returns what makes it whole again."""

    name: str
    bound: float | None
    begin: Begin
    seconds: float = 0.0
    is_short: bool = False  # whether the short run has it


def _loss(pick: Pick) -> Begin:
    def begin(system: System) -> Mend:
        part = pick(system)
        system.lose(part)
        return lambda: system.replace(part)

    return begin


def _zone(system: System) -> Mend:
    """A zone without power: nobody is told, so its packets are dropped first."""
    parts = system.zone(ZONES[0])
    nodes = [part for part in parts if isinstance(part, Node)]
    if system.network.can_cut:
        for node in nodes:
            system.network.cut(node.machine)
    system.lose(*parts)

    def replace() -> None:
        if system.network.can_cut:
            for node in nodes:
                system.network.mend(node.machine)
        system.replace(*parts)

    return replace


def _partition(pick: Pick) -> Begin:
    def begin(system: System) -> Mend:
        node = pick(system)
        assert isinstance(node, Node)
        system.cut(node)
        return lambda: system.mend(node)

    return begin


def _hang(pick: Pick) -> Begin:
    def begin(system: System) -> Mend:
        part = pick(system)
        part.pause()

        def resume() -> None:
            part.resume()
            if isinstance(part, ClusterNode):
                # It hears from the others at once, and does not notice that they have
                # left it: RabbitMQ's data stays divided until somebody restarts it.
                system.restart(part)
            elif isinstance(part, Node):
                system.clusters.whole_kind(part)

        return resume

    return begin


def _roll(system: System) -> Mend:
    """Restart every part in turn; APIs leave the gateway meanwhile."""
    for part in system.parts:
        if part in system.apis:
            _use(system, [api.port for api in system.apis if api is not part])
            system.restart(part)
            _use(system, [api.port for api in system.apis])
        else:
            system.restart(part)
    return lambda: None


def _use(system: System, ports: list[int]) -> None:
    """Make nginx use these APIs; returns when it has answered all older requests."""
    old = psutil.Process(system.nginx.pid).children()
    system.nginx.api_ports = ports
    system.nginx.reload()
    wait_for(
        lambda: not any(process.is_running() for process in old),
        "the end of nginx's old processes",
    )


def _primary(system: System) -> Server:
    return wait_for(system.clusters.postgres.primary, "a primary of PostgreSQL")


def _replica(system: System) -> Server:
    primary = _primary(system)
    return next(each for each in system.clusters.members if each is not primary)


def _redis_primary(system: System) -> Server:
    return wait_for(system.clusters.primary_redis, "a primary of Redis")


def _redis_replica(system: System) -> Server:
    primary = _redis_primary(system)
    return next(each for each in system.clusters.redis if each is not primary)


NODES: dict[str, Pick] = {
    "RabbitMQ": lambda system: system.clusters.rabbitmq[0],
    "PostgreSQL primary": _primary,
    "PostgreSQL replica": _replica,
    "etcd": lambda system: system.clusters.etcd[0],
    "Redis primary": _redis_primary,
    "Redis replica": _redis_replica,
    "Sentinel": lambda system: system.clusters.sentinels[0],
}
PROCESSES: dict[str, Pick] = {
    "API": lambda system: system.apis[0],
    "worker": lambda system: system.workers[0],
    "data service": lambda system: next(
        each for each in system.services if each.name.startswith("dataservice-")
    ),
    "beat": lambda system: system.beats[0],
    "event relay, the active one": lambda system: system.active_relay(),
}
HANGING = ("RabbitMQ", "PostgreSQL primary", "Redis primary")
SHORT = ("RabbitMQ", "PostgreSQL primary", "Redis primary", "API")


def _bound(part: str) -> float:
    return DATABASE if part.startswith("PostgreSQL") else SOON


def _faults() -> list[Planned]:
    found = []
    for part, pick in (NODES | PROCESSES).items():
        name, is_short = f"{part} lost", part in SHORT
        found.append(Planned(name, _bound(part), _loss(pick), is_short=is_short))
    found.append(Planned("zone a lost", ZONE, _zone, is_short=True))
    for part, pick in NODES.items():
        name, cut = f"{part} cut off", _partition(pick)
        found.append(Planned(name, ZONE, cut, CUT))
    for part in HANGING:
        name, hang = f"{part} hangs", _hang(NODES[part])
        found.append(Planned(name, ZONE, hang, CUT))
    return found


def schedule(seed: int, short: bool, only: str) -> list[Planned]:
    """Every fault with one of the words of `only` in its name, in the order of the
    seed, and the rolling restart in the end."""
    faults = _faults()
    random.Random(seed).shuffle(faults)
    faults.append(Planned("rolling restart of every part", None, _roll))
    return [
        fault
        for fault in faults
        if any(word in fault.name for word in only.split(","))
        and (fault.is_short or not short)
    ]
