"""The record of a run: each fault, and what clients saw of it."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from tests.chaos.ledger import Attempt
from tests.e2e.client import PROCESS, PROCESS_ASYNC

WRITES = (f"POST {PROCESS}", f"POST {PROCESS_ASYNC}")
FEW = 0.001  # the share of requests that may fail in a rolling restart


@dataclass
class Fault:
    """One fault. Times are of `time.monotonic`: when it began, when the cluster began
    to become whole again (a replacement started, or the network was mended), when it
    was whole, and when the next fault began. Writes must succeed again within `bound`
    seconds; without a bound, hardly any request may fail.
    """

    name: str
    bound: float | None
    began: float
    mended: float = 0.0
    whole: float = 0.0
    ended: float = 0.0

    def attempts(self, attempts: Iterable[Attempt]) -> list[Attempt]:
        """Those that ended while the fault could affect them."""
        return [
            each
            for each in attempts
            if self.began < each.began + each.seconds <= self.ended
        ]

    def recovery(self, attempts: Iterable[Attempt]) -> float | None:
        """Seconds until writes of both kinds succeeded that were sent after the last
        one that failed; None if that was not before the mending."""
        return recovery(attempts, self.began, self.mended)

    def failed(self, attempts: Iterable[Attempt]) -> Counter[str]:
        """What failed, by its kind."""
        return Counter(_name(each) for each in self.attempts(attempts) if each.failed)

    def row(self, attempts: Sequence[Attempt]) -> list[str]:
        """For the table."""
        mine, failed = self.attempts(attempts), self.failed(attempts)
        seconds = self.recovery(attempts)
        again = "never" if seconds is None else f"{seconds:.1f} s"
        return [
            self.name,
            f"{len(mine):,}",
            f"{100 * failed.total() / max(1, len(mine)):.1f}%",
            ", ".join(f"{count} {name}" for name, count in failed.most_common()),
            "-" if self.bound is None else again,
            "-" if self.bound is None else f"{self.bound:.0f} s",
            f"{self.whole - self.mended:.1f} s",
        ]

    def judge(self, attempts: Sequence[Attempt]) -> list[str]:
        """What the system promised and did not keep."""
        if self.bound is None:
            requests = len(self.attempts(attempts))
            failed = self.failed(attempts).total()
            if failed > FEW * requests:
                return [f"{self.name}: {failed} of {requests} requests failed"]
            return []
        seconds = self.recovery(attempts)
        if seconds is None:
            return [f"{self.name}: no writes until it was mended"]
        if seconds > self.bound:
            return [f"{self.name}: writes only after {seconds:.1f} s"]
        return []


def recovery(attempts: Iterable[Attempt], began: float, until: float) -> float | None:
    """See `Fault.recovery`; `until` limits when attempts were sent."""
    writes = [
        each for each in attempts if each.what in WRITES and began <= each.began < until
    ]
    last = max((each.began for each in writes if each.failed), default=began)
    first: dict[str, float] = {}
    for each in writes:
        if each.began >= last and each.status is not None and each.status < 300:
            end = each.began + each.seconds
            first[each.what] = min(end, first.get(each.what, end))
    if len(first) < len(WRITES):
        return None
    return max(first.values()) - began


def _name(attempt: Attempt) -> str:
    return (
        attempt.code if attempt.status is None else f"{attempt.status} {attempt.code}"
    )


@dataclass
class Run:
    """The whole record."""

    seed: int
    faults: list[Fault] = field(default_factory=list)
    attempts: Sequence[Attempt] = ()
    counts: dict[str, int] = field(default_factory=dict)
    drained: float = 0.0
    findings: list[str] = field(default_factory=list)
