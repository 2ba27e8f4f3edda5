"""Compares the event log with the records, and with what everybody received of it."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from tests.chaos.ledger import Row, Work
from tests.chaos.receiver import TYPES
from tests.chaos.streams import Listener

ACCEPTED, DELETED = "record.accepted", "record.deleted"
ENDS = {"Success": "record.succeeded", "Failure": "record.failed"}


class Logged(NamedTuple):
    """An event of the log, or the effect that it had."""

    sequence: int
    subject: str
    type: str = ""


def audit_log(
    log: Iterable[Logged], rows: Iterable[Row], works: Iterable[Work]
) -> list[str]:
    """Every change has its event, and every event its change. `log` is in order."""
    types: dict[str, list[str]] = defaultdict(list)
    for event in log:
        if event.type.startswith("record."):
            types[event.subject].append(event.type)
    known = {work.payload: work for work in works}
    findings = []
    for row in rows:
        first = [ACCEPTED] if (w := known.get(row.name)) and w.later else []
        expected = [*first, ENDS.get(row.status, row.status)]
        if (found := types.pop(row.task_id, [])) != expected:
            findings.append(f"the events of {row.task_id} are {found}, not {expected}")
    deleted = {work.task_id for work in known.values() if work.deleted}
    for subject, found in types.items():
        if found != [ENDS["Success"], DELETED] or subject not in deleted:
            findings.append(f"the events of {subject} are {found}, without a record")
    return findings


def audit_effects(log: Iterable[Logged], effects: Sequence[Logged]) -> list[str]:
    """Each event of a record had one effect, in order for each record."""
    wanted = {each.sequence for each in log if each.type.startswith("record.")}
    counts = Counter(each.sequence for each in effects)
    findings = [
        f"event {sequence} had {count} effects"
        for sequence, count in counts.items()
        if count > 1
    ]
    if lost := wanted - counts.keys():
        findings.append(f"{len(lost)} events had no effect, the first is {min(lost)}")
    if alien := counts.keys() - wanted:
        findings.append(f"{len(alien)} effects have no event in the log")
    latest: dict[str, int] = {}
    for each in effects:
        if each.sequence < latest.get(each.subject, 0):
            findings.append(f"the events of {each.subject} had their effects late")
        latest[each.subject] = each.sequence
    return findings


def audit_streams(log: Sequence[Logged], listeners: Iterable[Listener]) -> list[str]:
    """Each client saw every event after its start once, in order."""
    sequences = [each.sequence for each in log]
    return [
        f"{listener.name}: {what}"
        for listener in listeners
        for what in _judge(sequences, listener)
    ]


def _judge(sequences: list[int], listener: Listener) -> Iterator[str]:
    start = listener.start
    if start is None:
        yield "it was never told where it begins"
        return
    expected, seen = [each for each in sequences if each > start], listener.seen
    if seen == expected:
        return
    if repeated := len(seen) - len(set(seen)):
        yield f"it saw {repeated} events twice"
    if lost := set(expected) - set(seen):
        yield f"it missed {len(lost)} of {len(expected)} events, such as {min(lost)}"
    if alien := set(seen) - set(expected):
        yield f"it saw {len(alien)} events that are not in the log"
    if seen != sorted(seen):
        yield "it did not see them in order"


def lost_by_webhook(log: Iterable[Logged], received: Sequence[int]) -> set[int]:
    """What the receiver has not got."""
    return {each.sequence for each in log if each.type in TYPES} - set(received)


def audit_webhook(log: Sequence[Logged], received: Sequence[int]) -> list[str]:
    """The receiver got each event of its types, for the first time in order."""
    first = list(dict.fromkeys(received))
    known = {each.sequence for each in log if each.type in TYPES}
    findings = []
    if lost := lost_by_webhook(log, received):
        findings.append(f"the webhook missed {len(lost)} of {len(known)} events")
    if alien := set(first) - known:
        findings.append(f"the webhook got {len(alien)} events that it does not want")
    if first != sorted(first):
        findings.append("the webhook got its events in another order")
    return findings


def audit_position(log: Sequence[Logged], position: int) -> list[str]:
    """The relay has published everything."""
    end = log[-1].sequence if log else 0
    return [] if position == end else [f"the relay is at {position}, not at {end}"]
