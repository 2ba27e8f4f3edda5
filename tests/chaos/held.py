"""The resources of processes: memory, threads, descriptors, connections."""

from dataclasses import dataclass

import psutil
import psycopg2

from local.servers.redis import Redis
from tests.chaos.system import System

MEGABYTE = 1e6

# The allowed growth. A process that was restarted, or has used all of its code, holds a
# little more than a fresh one. A leak exceeds this within minutes of load.
MORE_MEMORY, MORE_THREADS, MORE_DESCRIPTORS = 30.0, 8, 24


@dataclass(frozen=True)
class Held:
    """The resources of one process."""

    megabytes: float
    threads: int
    descriptors: int
    connections: int

    @classmethod
    def by(cls, process: psutil.Process) -> "Held":
        """The current resources."""
        return cls(
            process.memory_info().rss / MEGABYTE,
            process.num_threads(),
            process.num_fds(),
            len(process.net_connections(kind="tcp")),
        )


def processes(system: System) -> dict[str, Held]:
    """Each of our processes; the worker's children have numbers."""
    found = {}
    ours = [app for app in system.stack.processes if app is not system.nginx]
    for app in ours:
        leader = psutil.Process(app.pid)
        found[app.name] = Held.by(leader)
        for number, child in enumerate(leader.children(), start=1):
            found[f"{app.name}'s child {number}"] = Held.by(child)
    return found


def connections(system: System) -> dict[str, int]:
    """The client connections of each server."""
    return {
        "PostgreSQL": _sessions(system),
        "Redis": _clients(system.redis),
        "Redis of keys": _clients(system.redis_keys),
        "RabbitMQ": len(psutil.Process(system.rabbitmq.pid).net_connections("tcp")),
    }


def _clients(server: Redis) -> int:
    with server.connect() as redis:
        return len(redis.client_list())


def _sessions(system: System) -> int:
    connection = psycopg2.connect(system.postgres.url().replace("+psycopg2", ""))
    try:
        with connection.cursor() as cursor:
            query = "SELECT count(*) FROM pg_stat_activity WHERE backend_type = %s"
            cursor.execute(query, ["client backend"])
            row = cursor.fetchone()
    finally:
        connection.close()
    return int(row[0]) if row else 0


def grown(before: dict[str, Held], after: dict[str, Held]) -> list[str]:
    """The processes that hold more than they may."""
    findings = []
    for name, then in before.items():
        now = after.get(name)
        if now is None:
            findings.append(f"{name} is not there")
            continue
        if now.megabytes > then.megabytes + MORE_MEMORY:
            findings.append(
                f"{name} grew from {then.megabytes:.0f} to {now.megabytes:.0f} MB"
            )
        if now.threads > then.threads + MORE_THREADS:
            findings.append(f"{name} has {now.threads} threads, had {then.threads}")
        if now.descriptors > then.descriptors + MORE_DESCRIPTORS:
            findings.append(
                f"{name} has {now.descriptors} descriptors, had {then.descriptors}"
            )
    return findings
