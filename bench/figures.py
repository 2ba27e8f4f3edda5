"""The measured figures, and their medians over several rounds."""

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields, replace
from statistics import median


@dataclass(frozen=True)
class Load:
    """The result of a load generator. Latencies are in milliseconds."""

    requests: int
    seconds: float
    failed: int
    p50: float
    p95: float
    p99: float

    @property
    def rate(self) -> float:
        """Successes per second."""
        return (self.requests - self.failed) / self.seconds

    @classmethod
    def of(cls, latencies: Sequence[float], seconds: float, failed: int = 0) -> "Load":
        """Build from latencies in seconds, those of failures included."""
        ordered = sorted(latencies)

        def percentile(q: float) -> float:
            return 1000 * ordered[math.ceil(q * len(ordered)) - 1]

        p50, p95, p99 = percentile(0.5), percentile(0.95), percentile(0.99)
        return cls(len(ordered), seconds, failed, p50, p95, p99)

    def to_json(self) -> str:
        """One line of JSON, in the format of `from_json` and `post.lua`."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> "Load":
        """Parse the last line of a generator's output."""
        return cls(**json.loads(text.strip().splitlines()[-1]))


@dataclass(frozen=True)
class Sample:
    """The figures of one contender in one setting: of a round, or the median of all."""

    rate: float = 0.0
    p50: float = 0.0
    p95: float = 0.0
    p99: float = 0.0
    cpu: float = 0.0  # seconds per 1,000 requests
    failed: float = 0.0  # the failures of all rounds, not their median

    @classmethod
    def of(cls, load: Load, cpu_seconds: float = 0.0) -> "Sample":
        """Build from one round's load, and the CPU time that all processes used for
        it."""
        cpu = 1000 * cpu_seconds / load.requests
        return cls(load.rate, load.p50, load.p95, load.p99, cpu, load.failed)


def times(ours: Sequence[Sample], theirs: Sequence[Sample]) -> float:
    """Our rate divided by theirs, round by round: both of a pair ran on the machine in
    the same state."""
    return median(a.rate / b.rate for a, b in zip(ours, theirs, strict=True))


def middle(rounds: Sequence[Sample]) -> Sample:
    """The median of each figure by itself."""
    names = [field.name for field in fields(Sample)]
    medians = {name: median(getattr(one, name) for one in rounds) for name in names}
    return replace(Sample(**medians), failed=sum(one.failed for one in rounds))
