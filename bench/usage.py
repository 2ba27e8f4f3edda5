"""What processes cost: CPU time and memory."""

import re
from collections.abc import Iterable
from pathlib import Path

import psutil

from local.servers.base import Server

MEGABYTE = 1e6


def cpu_seconds(servers: Iterable[Server]) -> float:
    """CPU time so far of the servers' processes, including ended children."""
    total = 0.0
    for process in (one for server in servers for one in _family(server)):
        try:
            total += sum(process.cpu_times()[:4])
        except psutil.NoSuchProcess:
            continue  # counted with its parent from now on
    return total


def most_resident(server: Server) -> list[float]:
    """Peak resident megabytes of each of its processes, the leader first. Systems that
    do not record the peak give the current value."""
    return [_peak(process) / MEGABYTE for process in _family(server)]


def _peak(process: psutil.Process) -> int:
    try:
        status = Path(f"/proc/{process.pid}/status").read_text()
    except OSError:
        return int(process.memory_info().rss)
    kilobytes = re.search(r"^VmHWM:\s+(\d+) kB", status, re.MULTILINE)
    return 1024 * int(kilobytes[1]) if kilobytes else int(process.memory_info().rss)


def _family(server: Server) -> list[psutil.Process]:
    leader = psutil.Process(server.pid)
    return [leader, *leader.children(recursive=True)]
