"""The record of a run: each fault, with its effect on clients."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from tests.chaos.held import Held
from tests.chaos.ledger import Attempt

LONGEST_RECOVERY = 5.0  # seconds from the return of a part
LONGEST_DELIVERY = 10.0  # likewise, until everybody has the events; clients come back
LONGEST_TAKEOVER = 5.0  # seconds from the death of a part


@dataclass
class Broken:
    """One fault. Times are of `time.monotonic`: when it began, when the part was back,
    when requests of both kinds had succeeded after that, when everybody had their
    events, and when the next one began. `takeover` is the number of seconds until
    another part did the work of a dead one.
    """

    name: str
    planned: bool
    began: float
    back: float = 0.0
    worked: float = 0.0
    delivered: float = 0.0
    ended: float = 0.0
    takeover: float | None = None

    def __str__(self) -> str:
        """For the terminal."""
        took_over = "" if self.takeover is None else f"{self.takeover:.2f} s without, "
        worked, delivered = self.worked - self.back, self.delivered - self.back
        return (
            f"{self.name}: {self.back - self.began:.1f} s, {took_over}"
            f"back after {worked:.2f} s, events after {delivered:.2f} s"
        )

    def attempts(self, attempts: Iterable[Attempt]) -> list[Attempt]:
        """The attempts that ended while the fault could affect them. Those still
        running when the next fault begins belong to the next."""
        return [
            each
            for each in attempts
            if self.began < each.began + each.seconds <= self.ended
        ]

    def recovery(self, attempts: Iterable[Attempt]) -> float:
        """Seconds from the part's return until requests of both kinds succeed, and
        until none that begins later fails."""
        late = [
            each.began
            for each in self.attempts(attempts)
            if each.failed and each.began > self.back
        ]
        return max([self.worked, *late]) - self.back

    def row(self, attempts: Iterable[Attempt], start: float) -> list[str]:
        """For the table."""
        mine = self.attempts(attempts)
        failed = Counter(_name(each) for each in mine if each.failed)
        return [
            self.name,
            f"{self.began - start:.0f} s",
            f"{self.back - self.began:.1f} s",
            f"{len(mine):,}",
            f"{100 * failed.total() / max(1, len(mine)):.1f}%",
            ", ".join(f"{count} {name}" for name, count in failed.most_common()),
            f"{max(0.0, self.recovery(mine)):.2f} s",
            f"{self.delivered - self.back:.2f} s",
        ]

    def judge(self, attempts: Iterable[Attempt]) -> list[str]:
        """The faults of the system during this one."""
        mine = self.attempts(attempts)
        findings = []
        if (seconds := self.recovery(mine)) > LONGEST_RECOVERY:
            findings.append(f"{self.name}: recovered only after {seconds:.1f} s")
        if (seconds := self.delivered - self.back) > LONGEST_DELIVERY:
            findings.append(f"{self.name}: events arrived only after {seconds:.1f} s")
        if (self.takeover or 0) > LONGEST_TAKEOVER:
            findings.append(f"{self.name}: taken over only after {self.takeover:.1f} s")
        # A gateway may close an idle connection; that is no failed request.
        failed = [each for each in mine if each.failed and each.status is not None]
        if self.planned and failed:
            findings.append(f"{self.name}: {len(failed)} requests failed")
        return findings


def _name(attempt: Attempt) -> str:
    return (
        attempt.code if attempt.status is None else f"{attempt.status} {attempt.code}"
    )


@dataclass
class Run:
    """The whole record."""

    seed: int
    began: float
    faults: list[Broken] = field(default_factory=list)
    attempts: Sequence[Attempt] = ()
    counts: dict[str, int] = field(default_factory=dict)
    before: dict[str, Held] = field(default_factory=dict)
    after: dict[str, Held] = field(default_factory=dict)
    clients_before: dict[str, int] = field(default_factory=dict)
    clients_after: dict[str, int] = field(default_factory=dict)
    poison: int = 0
    events: dict[str, int] = field(default_factory=dict)
    expired: int = 0
    drained: float = 0.0
    findings: list[str] = field(default_factory=list)
