"""How many replicas a load needs, and which part is the first bottleneck.

    python3 -m deploy.capacity --sync 2000 --accepted 500

The rates of one process come from docs/BENCHMARKS.md. There everything shares two
cores, even the load generator, so they are measurements, not limits. Enter your own for
the parts that replicas do not multiply: PostgreSQL, the queue, Redis.
"""

import argparse
import math
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from local.registry import registered

BENCHMARKS = Path(__file__).parent.parent / "docs/BENCHMARKS.md"

# The Deployment of a service; `make rename` puts the project's name before it.
WORKLOAD = "{service}-service"

# The rows that a request writes: a record and two log rows. An accepted request also
# updates its record.
ROWS_SYNC, ROWS_ACCEPTED = 3, 4

# Connections of a worker to PostgreSQL: its two children have two engines each, and the
# parent needs one to end a failed record. The spare ones are for beat, for the relays,
# and for administrators.
WORKER_CONNECTIONS, SPARE_CONNECTIONS = 5, 10


@dataclass(frozen=True)
class Measured:
    """Measured rates per second of one process; a worker replica has two processes."""

    api_sync: float
    api_accepted: float
    nginx: float
    service: float
    worker: float
    rows: float  # written by PostgreSQL at the same time
    cpu_sync: float  # CPU seconds for one request, all processes together
    cpu_task: float


@dataclass(frozen=True)
class Load:
    """Requests per second, the target utilisation of a replica, and the services that
    share the requests evenly."""

    sync: float
    accepted: float
    use: float = 0.6
    services: tuple[str, ...] = tuple(registered()) or ("service",)

    @property
    def workloads(self) -> list[str]:
        """The Deployments of the services."""
        names = (each.replace("_", "-") for each in self.services)
        return [WORKLOAD.format(service=name) for name in names]


@dataclass(frozen=True)
class Limit:
    """A part whose capacity does not grow with replicas."""

    part: str
    needed: float
    given: float
    advice: str

    @property
    def share(self) -> float:
        """Above 1 the part is overloaded."""
        return self.needed / self.given


@dataclass(frozen=True)
class Shared:
    """Capacity per second of the shared parts; connections as a total."""

    rows: float
    calls: float
    tasks: float
    connections: int
    pool: int = 10


def measured(page: str) -> Measured:
    """The rates from the page. Raises ValueError if its format has changed."""
    whole = _row(_section(page, "32 connections:"), "kit")
    gateway = _row(_section(page, "32 connections:"), "kit through nginx")
    calls = _row(_section(page, "## Remote calls alone"), "kit, quorum queue")
    tasks = _row(_section(page, "## Accepted work"), "kit, prefork 2")
    return Measured(
        api_sync=gateway[0],
        api_accepted=tasks[0],
        nginx=1000 / (gateway[4] - whole[4]),
        service=calls[0],
        worker=tasks[2],
        rows=whole[0] * ROWS_SYNC,
        cpu_sync=gateway[4] / 1000,
        cpu_task=tasks[4] / 1000,
    )


def _section(page: str, heading: str) -> str:
    _, found, rest = page.partition(f"\n{heading}")
    if not found:
        raise ValueError(f"{BENCHMARKS.name} has no {heading!r}")
    return rest


def _row(section: str, name: str) -> list[float]:
    """The numbers of a table's row; 0 for cells that are not numbers."""
    row = re.search(rf"^\| {re.escape(name)} \|(.*)\|$", section, re.MULTILINE)
    if row is None:
        raise ValueError(f"{BENCHMARKS.name} has no row {name!r}")
    numbers = (re.match(r"\s*([\d,.]+)", cell) for cell in row[1].split("|"))
    return [float(n[1].replace(",", "")) if n else 0.0 for n in numbers]


def replicas(load: Load, figures: Measured) -> dict[str, int]:
    """Replicas of each Deployment; at least two, since one may be restarting."""
    requests = load.sync + load.accepted
    use = {
        "nginx": requests / figures.nginx,
        "fastapi-api": load.sync / figures.api_sync
        + load.accepted / figures.api_accepted,
        **dict.fromkeys(
            load.workloads, requests / figures.service / len(load.services)
        ),
        "fastapi-celery-worker": load.accepted / figures.worker,
    }
    return {name: max(2, math.ceil(busy / load.use)) for name, busy in use.items()}


def limits(load: Load, counts: dict[str, int], shared: Shared) -> list[Limit]:
    """The shared parts, the first bottleneck first."""
    connections = counts["fastapi-api"] * shared.pool + SPARE_CONNECTIONS
    connections += counts["fastapi-celery-worker"] * WORKER_CONNECTIONS
    calls = load.sync + load.accepted
    queues = math.ceil(calls / (shared.calls * load.use))
    there = len(load.services)
    found = [
        Limit(
            "PostgreSQL, rows written per second",
            load.sync * ROWS_SYNC + load.accepted * ROWS_ACCEPTED,
            shared.rows,
            "a larger server with a faster disk, then shards by tenant",
        ),
        Limit(
            "PostgreSQL, connections",
            connections,
            shared.connections,
            "a smaller pool, or PgBouncer in front of it",
        ),
        Limit(
            f"RabbitMQ, calls per second, {there} queue{'s' if there > 1 else ''}",
            calls,
            shared.calls * there,
            f"{queues} queues (..._QUEUE_NAME, QUEUE_NAME), each with its consumers",
        ),
        Limit(
            "Redis, tasks per second",
            load.accepted,
            shared.tasks,
            "one Redis per kind of task",
        ),
    ]
    return sorted(found, key=lambda limit: limit.share, reverse=True)


def report(load: Load, figures: Measured, shared: Shared) -> str:
    """The report as text."""
    counts = replicas(load, figures)
    connections = counts["fastapi-api"] + 2 * counts["fastapi-celery-worker"]
    connections += sum(counts[name] for name in load.workloads)
    width = max(24, *map(len, counts))
    cores = load.sync * figures.cpu_sync + load.accepted * figures.cpu_task
    lines = [
        f"{load.sync:,.0f} requests/s answered at once, {load.accepted:,.0f}/s "
        f"accepted for later; replicas utilised to {load.use:.0%}",
        "",
        *(f"  {name:{width}}{count:>8,} replicas" for name, count in counts.items()),
        f"  {'all together':{width}}{cores / load.use:>8,.0f} cores, servers included",
        f"  {'RabbitMQ':{width}}{connections:>8,} connections, as many channels",
        "",
    ]
    found = limits(load, counts, shared)
    lines += [
        f"  {limit.part:46}{limit.needed:>11,.0f} of {limit.given:>9,.0f}  "
        f"{limit.share:>7.0%}"
        for limit in found
    ]
    first = found[0]
    if first.share > 1:
        at = (load.sync + load.accepted) / first.share
        verdict = f"First bottleneck: {first.part}, from {at:,.0f} requests/s on.\n"
        verdict += f"Then: {first.advice}."
    else:
        verdict = f"No bottleneck; nearest: {first.part}, {first.share:.0%}."
    return "\n".join([*lines, "", verdict])


def _parse(arguments: Sequence[str], figures: Measured) -> tuple[Load, Shared]:
    parser = argparse.ArgumentParser(
        prog="python3 -m deploy.capacity",
        description="How many replicas a load needs, and which part is the first "
        "bottleneck.",
    )
    add = parser.add_argument
    add("--sync", type=float, default=1000, help="POST /process, requests/s")
    add("--accepted", type=float, default=0, help="POST /process-async, requests/s")
    add("--use", type=float, default=0.6, help="target utilisation of a replica")
    add("--rows", type=float, help="rows/s that PostgreSQL can write")
    add("--calls", type=float, help="calls/s that one quorum queue can pass")
    add("--tasks", type=float, help="tasks/s that Redis can accept")
    add("--connections", type=int, default=200, help="max_connections of PostgreSQL")
    add("--pool", type=int, default=10, help="DB_POOL_SIZE + DB_MAX_OVERFLOW")
    given = parser.parse_args(arguments)
    if min(given.sync, given.accepted) < 0 or given.sync + given.accepted <= 0:
        parser.error("name a load above 0")
    if not 0 < given.use <= 1:
        parser.error("--use is a share: above 0, at most 1")
    shared = Shared(
        given.rows or figures.rows,
        given.calls or figures.service,
        given.tasks or figures.api_accepted,
        given.connections,
        given.pool,
    )
    return Load(given.sync, given.accepted, given.use), shared


def main(arguments: Sequence[str]) -> None:
    """Print the report."""
    figures = measured(BENCHMARKS.read_text())
    load, shared = _parse(arguments, figures)
    print(report(load, figures, shared))


if __name__ == "__main__":
    main(sys.argv[1:])
