"""What the kit sets out to reach, and whether a run did."""

from collections.abc import Iterator
from typing import NamedTuple

from bench import rpc, tasks, tracing, whole_path
from bench.results import Results


class Target(NamedTuple):
    """A figure and its bound: at least, or with `most` at most."""

    what: str
    bound: float
    measured: float
    unit: str = ""
    most: bool = False

    @property
    def holds(self) -> bool:
        """Whether the figure is on the right side."""
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
    """The targets of those parts that were run."""
    found: list[Target] = []
    if results.calls:
        found += _rpc(results.calls)
    if results.requests:
        found += _http(results.requests)
    if results.work:
        found += _tasks(results.work)
    if results.traced:
        found += _tracing(tracing.shares(results.traced))
    return found


def _rpc(results: rpc.Results) -> Iterator[Target]:
    rates = {label: samples[64].rate for label, samples in results.items()}
    times = rates[rpc.QUORUM] / rates[rpc.FASTSTREAM]
    yield Target("RPC, quorum queue: times FastStream", 5, times)


def _http(results: dict[str, whole_path.Result]) -> Iterator[Target]:
    rates = {label: result.samples[32].rate for label, result in results.items()}
    kit, peer = whole_path.KIT, whole_path.FASTSTREAM
    yield Target("32 connections: times FastStream", 5, rates[kit] / rates[peer])
    memory = results[kit].memory
    yield Target("RSS of the API", 120, memory["api"], " MB", most=True)
    yield Target("RSS of the data service", 60, memory["dataservice"], " MB", most=True)


def _tasks(results: dict[str, tasks.Result]) -> Iterator[Target]:
    rates = {label: result.completed.rate for label, result in results.items()}
    pooled = rates[tasks.POOLED]
    for label, bound in ((tasks.PREFORK, 1.5), (tasks.THREADS, 2.0)):
        what = f"completed, {label}: times stock Celery with pooled RPC"
        yield Target(what, bound, rates[label] / pooled)


def _tracing(shares: dict[str, float]) -> Iterator[Target]:
    for label, bound in tracing.BOUNDS.items():
        what = f"whole path, {label} of traces kept: % of tracing off"
        yield Target(what, 100 * bound, 100 * shares[label], " %")
