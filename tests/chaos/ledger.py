"""Compares what clients sent and received with what is stored."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

#: Bad input that only the service refuses: it belongs to no work.
UNSORTABLE = '{"payload":[1,"a"],"description":"sort"}'


class Attempt(NamedTuple):
    """One HTTP request. Times are of `time.monotonic`, in seconds."""

    began: float
    seconds: float
    what: str
    status: int | None  # None: the connection was closed without an answer
    code: str  # of the problem, or of the connection's failure

    @property
    def failed(self) -> bool:
        """Whether a client would blame the system."""
        return self.status is None or self.status >= 500


@dataclass
class Work:
    """Work that a client wants done once, by one attempt or, with a key, several.
    `payload` is unique to it. `answer` is the body of the first success. The record may
    be `deleted`, and is then gone.
    """

    payload: str
    later: bool  # by process-async
    refused: bool = False  # the service must refuse it
    key: str | None = None
    statuses: list[int | None] = field(default_factory=list)
    task_id: str = ""
    answer: dict[str, Any] | None = None
    deleted: bool = False

    @property
    def sent(self) -> Any:
        """The payload in the request: a list of two kinds cannot be sorted."""
        return [self.payload, 1] if self.refused else self.payload

    @property
    def output(self) -> str:
        """The expected output."""
        return self.payload[::-1]


class Row(NamedTuple):
    """A stored record."""

    task_id: str
    payload: Any
    status: str
    outcome: Any

    @property
    def name(self) -> str:
        """The payload of the work that it belongs to."""
        named = self.payload[0] if isinstance(self.payload, list) else self.payload
        return str(named)


def audit(works: Sequence[Work], rows: Iterable[Row]) -> list[str]:
    """All differences between promises and records; empty if there are none."""
    known = {work.payload: work for work in works}
    stored: dict[str, list[Row]] = defaultdict(list)
    findings = []
    for row in rows:
        if row.name in known:
            stored[row.name].append(row)
        else:
            findings.append(f"a record without a request: {row.task_id}")
    for work in works:
        name = f"{'202' if work.later else '200'} {work.task_id or work.payload}"
        findings += [f"{name}: {what}" for what in _judge(work, stored[work.payload])]
    return findings


def _judge(work: Work, rows: list[Row]) -> Iterator[str]:
    # Without a key, any attempt may have been done, whatever its answer.
    most = 1 if work.key or work.answer else len(work.statuses)
    if len(rows) > most:
        yield f"stored {len(rows)} times"
    if work.answer is None:
        yield from (fault for row in rows for fault in _ending(work, row))
        return
    if work.deleted or not rows:
        if bool(rows) is work.deleted:
            yield "not deleted" if rows else "lost"
        return
    row = rows[0]
    if row.task_id != work.task_id:
        yield f"stored under another id, {row.task_id}"
    if not work.later and row.outcome != work.answer["outcome"]:
        yield "the record has another outcome than the answer"
    yield from _ending(work, row)


def _ending(work: Work, row: Row) -> Iterator[str]:
    if work.refused:
        code = (row.outcome or {}).get("code")
        if (row.status, code) != ("Failure", "unsortable_list"):
            yield f"ended as {row.status} ({code}), not as refused"
    elif row.status != "Success":
        yield f"ended as {row.status}: {row.outcome}"
    elif row.outcome["output"] != work.output:
        yield "has the outcome of something else"


def count(works: Iterable[Work]) -> dict[str, int]:
    """The number of works by kind, and of those that never succeeded or were
    repeated."""
    found: Counter[str] = Counter()
    for work in works:
        kind = "asynchronous" if work.later else "synchronous"
        found[f"{kind}, with a key" if work.key else kind] += 1
        if work.answer is None:
            found["never succeeded"] += 1
        if work.deleted:
            found["deleted"] += 1
        if len(work.statuses) > 1:
            found["sent more than once"] += 1
    return dict(found)


def audit_dead_letters(
    sent: set[str],
    tried: set[str],
    letters: Iterable[tuple[str, str]],
    works: Iterable[Work],
) -> list[str]:
    """The dead-letter queue must contain all of the poison. Besides that, it may
    contain only requests that expired before a service took them. `letters` are
    (reason, body)."""
    known = {work.payload for work in works}
    found, findings = set(), []
    for reason, body in letters:
        if reason == "expired":
            if body != UNSORTABLE and known.isdisjoint(body.split('"')):
                findings.append(f"a dead letter of nobody's: {body[:80]}")
        elif body in tried:
            found.add(body)
        else:
            findings.append(f"a dead letter ({reason}) that was no poison: {body[:80]}")
    if missing := sent - found:
        names = ", ".join(sorted(missing))
        findings.append(
            f"{len(missing)} of {len(sent)} poisonous messages are lost: {names}"
        )
    return findings
