"""The faults of each part, and their order."""

import random
import signal
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass

import psutil
import psycopg2

from local.servers.base import Server
from local.stack import start_all, stop_all
from tests.chaos import stored
from tests.chaos.system import CHILDREN, System
from tests.e2e.client import wait_for
from tests.relay import Relay

KILLS = 4

Pick = Callable[[System], Server]
Act = Callable[[System, float], float | None]


@dataclass(frozen=True)
class Fault:
    """`act` breaks a part for some seconds and returns when it is back; if another one
    must take over, it returns the seconds until then. `part` is the component; a short
    run breaks each once.
    """

    part: str
    name: str
    act: Act
    longest: float = 6.0  # seconds
    planned: bool = False  # no client may notice

    def seconds(self, chance: random.Random) -> float:
        """How long the fault lasts in this run."""
        return round(chance.uniform(self.longest / 2, self.longest), 1)


def _kill(pick: Pick) -> Act:
    def act(system: System, seconds: float) -> None:
        part = pick(system)
        with system.broken(part):
            part.kill()
            system.pause(seconds)
            part.start()

    return act


def _hang(pick: Pick) -> Act:
    def act(system: System, seconds: float) -> None:
        part = pick(system)
        part.pause()
        try:
            system.pause(seconds)
        finally:
            part.resume()

    return act


def _restart(pick: Pick) -> Act:
    def act(system: System, _: float) -> None:
        part = pick(system)
        with system.broken(part):
            part.restart()

    return act


def _kill_child(system: System, _: float) -> None:
    system.children()[0].kill()
    wait_for(lambda: len(system.children()) == CHILDREN, "a new child")


def _hang_child(system: System, seconds: float) -> None:
    child = system.children()[0]
    child.suspend()
    system.pause(seconds)
    try:
        child.resume()
    except psutil.NoSuchProcess:
        pass  # the worker has killed it, because its task took too long


def _flush(system: System, _: float) -> None:
    for server in (system.redis, system.redis_keys):
        server.connect().flushall()


def _reload(system: System, _: float) -> None:
    system.reload_gateway()


def _partition(pick: Callable[[System], Relay], way: str) -> Act:
    def act(system: System, seconds: float) -> None:
        relay = pick(system)
        getattr(relay, way).clear()
        system.pause(seconds)
        relay.mend()

    return act


def _roll(system: System, _: float) -> None:
    """Send SIGTERM to all of our processes in turn, like a rollout."""
    for api in system.stack.apis:
        with system.broken(api):
            system.leave_gateway(api.port)
            api.restart()
            system.join_gateway(api.port)
    others = (system.stack.worker, *system.stack.clock, *system.stack.relays)
    for part in (*system.stack.services, *others):
        with system.broken(part):
            part.restart()
    system.nginx.child.send(signal.SIGHUP)


def _kill_active_relay(system: System, seconds: float) -> float:
    """The other one takes over, while this one is still dead."""
    part = system.active_relay()
    newest = stored.newest_event(system.postgres)
    with system.broken(part):
        part.kill()
        began = time.monotonic()
        wait_for(lambda: stored.position(system.postgres) > newest, "another relay")
        lasted = time.monotonic() - began
        system.pause(seconds)
        part.start()
    return lasted


_hang_active = _hang(lambda system: system.active_relay())
_restart_active = _restart(lambda system: system.active_relay())


def _restart_relays(system: System, _: float) -> None:
    """Both start at once, and one becomes active."""
    relays = system.stack.relays
    with system.broken(relays[0]), system.broken(relays[1]):
        stop_all(relays)
        start_all(relays)


def _kill_subscribers(system: System, _: float) -> None:
    """In turn, and often: somewhere between an effect and its acknowledgement."""
    for part in system.subscribers * KILLS:
        with system.broken(part):
            part.kill()
            part.start()


def _close_receiver(system: System, seconds: float) -> None:
    system.receiver.close()
    system.pause(seconds)
    system.receiver.open()


def _leave_transaction_open(system: System, seconds: float) -> None:
    """It adds an event, and commits it late: all younger ones wait for it."""
    url = system.postgres.url().replace("+psycopg2", "")
    with closing(psycopg2.connect(url)) as connection:
        with connection, connection.cursor() as cursor:
            cursor.execute(
                "INSERT INTO record_events (type, subject, data)"
                " VALUES ('chaos.late', 'late', '{}')"
            )
            system.pause(seconds)


def _faults() -> list[Fault]:
    parts: list[tuple[str, Pick]] = [
        ("API 1", lambda system: system.stack.apis[0]),
        ("API 2", lambda system: system.stack.apis[1]),
        ("data service 1", lambda system: system.stack.service("dataservice")),
        ("data service 2", lambda system: system.stack.service("dataservice", 2)),
        ("worker", lambda system: system.stack.worker),
        ("beat", lambda system: system.stack.clock[0]),
        ("subscriber", lambda system: system.subscribers[0]),
        ("RabbitMQ", lambda system: system.rabbitmq),
        ("Redis", lambda system: system.redis),
        ("Redis of keys", lambda system: system.redis_keys),
        ("PostgreSQL", lambda system: system.postgres),
        ("collector", lambda system: system.collector),
    ]
    found = []
    for part, pick in parts:
        found += [
            Fault(part, f"{part}: kill -9", _kill(pick)),
            Fault(part, f"{part}: SIGSTOP, SIGCONT", _hang(pick), longest=10),
            Fault(part, f"{part}: SIGTERM, start", _restart(pick)),
        ]
    found += [
        Fault("worker's child", "worker's child: kill -9", _kill_child),
        Fault("worker's child", "worker's child: SIGSTOP", _hang_child, longest=14),
        Fault("Redis", "Redis: FLUSHALL", _flush),
        Fault("event relay", "active event relay: kill -9", _kill_active_relay),
        Fault("event relay", "active event relay: SIGSTOP, SIGCONT", _hang_active, 10),
        Fault("event relay", "active event relay: SIGTERM, start", _restart_active),
        Fault("event relays", "both event relays: SIGTERM, start", _restart_relays),
        Fault("subscribers", "subscribers: kill -9, in turn", _kill_subscribers),
        Fault("receiver", "webhook receiver: away", _close_receiver, longest=12),
        Fault("transaction", "long transaction beside", _leave_transaction_open, 8),
        Fault("nginx", "nginx: reload", _reload, planned=True),
        Fault("all of ours", "rolling restart", _roll, planned=True),
    ]
    relays: list[tuple[str, Callable[[System], Relay]]] = [
        ("RabbitMQ", lambda system: system.to_rabbitmq),
        ("PostgreSQL", lambda system: system.to_postgres),
    ]
    for name, relay in relays:
        for way, arrow in (("requests", "→"), ("answers", "←")):
            found.append(
                Fault(
                    f"network to {name}",
                    f"network: API, event relay {arrow} {name} cut",
                    _partition(relay, way),
                    longest=12,
                )
            )
    return found


def schedule(seed: int, short: bool, only: str = "") -> list[tuple[Fault, float]]:
    """Every fault with `only` in its name, and its seconds, in the order of the seed; a
    short schedule has one of each part."""
    chance = random.Random(seed)
    faults = [fault for fault in _faults() if only in fault.name]
    chance.shuffle(faults)
    if short:
        faults = list({fault.part: fault for fault in faults}.values())
    return [(fault, fault.seconds(chance)) for fault in faults]
