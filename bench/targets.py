"""The kit's targets, and whether a run reached them."""

from collections.abc import Iterator
from statistics import median
from typing import NamedTuple

from bench import event_log, relay, rpc, tasks, tracing, whole_path
from bench.figures import times
from bench.results import Results


class Target(NamedTuple):
    """A figure and its bound: a minimum, or with `most` a maximum."""

    what: str
    bound: float
    measured: float
    unit: str = ""
    most: bool = False

    @property
    def holds(self) -> bool:
        """Whether the figure is within its bound."""
        if self.most:
            return self.measured <= self.bound
        return self.measured >= self.bound

    def row(self) -> list[str]:
        """For a table."""
        word = "at most" if self.most else "at least"
        bound = f"{word} {self.bound:g}{self.unit}"
        verdict = "yes" if self.holds else "**no**"
        return [self.what, bound, f"{self.measured:.2f}{self.unit}", verdict]


def of(results: Results) -> list[Target]:
    """The targets of the parts that were run."""
    found: list[Target] = []
    if results.calls:
        found += _rpc(results.calls)
    if results.requests:
        found += _http(results.requests)
    if results.work:
        found += _tasks(results.work)
    if results.traced:
        found += _tracing(tracing.shares(results.traced))
    if results.logged:
        what = "whole path with the event log: % of without"
        measured = 100 * event_log.share(results.logged)
        found.append(Target(what, 100 * event_log.BOUND, measured, " %"))
    if results.relayed:
        found += _relay(results.relayed)
    return found


def _rpc(results: rpc.Results) -> Iterator[Target]:
    ours, theirs = results[rpc.QUORUM][64], results[rpc.FASTSTREAM][64]
    yield Target("RPC, quorum queue: times FastStream", 5, times(ours, theirs))


def _http(results: dict[str, whole_path.Result]) -> Iterator[Target]:
    kit, peer = results[whole_path.KIT], results[whole_path.FASTSTREAM]
    rate = times(kit.rounds[32], peer.rounds[32])
    yield Target("32 connections: times FastStream", 5, rate)
    for process, bound in (("api", 120), ("dataservice", 60)):
        what = f"peak RSS of the {process} under load"
        yield Target(what, bound, kit.memory[process], " MB", most=True)


def _tasks(results: tasks.Results) -> Iterator[Target]:
    theirs = results[tasks.POOLED].completed
    for label, bound in ((tasks.PREFORK, 1.5), (tasks.THREADS, 2.0)):
        what = f"tasks completed, {label}: times stock Celery with pooled RPC"
        yield Target(what, bound, times(results[label].completed, theirs))


def _tracing(shares: dict[str, float]) -> Iterator[Target]:
    for label, bound in tracing.BOUNDS.items():
        what = f"whole path, {label} of traces kept: % of tracing off"
        yield Target(what, 100 * bound, 100 * shares[label], " %")


def _relay(result: relay.Result) -> Iterator[Target]:
    what = "events published per second, with a quorum queue"
    yield Target(what, 3000, median(result.rates))
