"""What processes cost: CPU time and memory."""

from collections.abc import Iterable

import psutil

from local.servers.base import Server

MEGABYTE = 1e6


def cpu_seconds(servers: Iterable[Server]) -> float:
    """CPU time so far of the servers' processes, ended children included."""
    total = 0.0
    for process in (one for server in servers for one in _family(server)):
        try:
            total += sum(process.cpu_times()[:4])
        except psutil.NoSuchProcess:
            continue  # counted with its parent from now on
    return total


def resident(server: Server) -> list[float]:
    """Megabytes in RAM of each of its processes, the leader first."""
    return [process.memory_info().rss / MEGABYTE for process in _family(server)]


def _family(server: Server) -> list[psutil.Process]:
    leader = psutil.Process(server.pid)
    return [leader, *leader.children(recursive=True)]
