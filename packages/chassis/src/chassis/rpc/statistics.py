"""Metrics of one process's calls, for their owner to report."""

import math
from collections import deque
from dataclasses import dataclass

WINDOW = 1024


@dataclass(frozen=True)
class LatencyFigures:
    """Seconds from request to answer; the last three cover the latest calls only."""

    count: int
    avg: float | None
    p50: float | None
    p95: float | None


class RpcStatistics:
    """Written by the I/O thread only, read by any."""

    def __init__(self) -> None:
        self.answered = 0
        self.timeouts = 0
        self.dropped_replies = 0
        self._latest: deque[float] = deque(maxlen=WINDOW)

    def answer(self, seconds: float) -> None:
        """Count one answer."""
        self.answered += 1
        self._latest.append(seconds)

    def latency(self) -> LatencyFigures:
        """A summary of the latest calls (percentiles by nearest rank)."""
        latest = sorted(self._latest.copy())
        if not latest:
            return LatencyFigures(self.answered, None, None, None)

        def percentile(q: float) -> float:
            return latest[math.ceil(q * len(latest)) - 1]

        average = sum(latest) / len(latest)
        return LatencyFigures(self.answered, average, percentile(0.5), percentile(0.95))
