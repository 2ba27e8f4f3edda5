"""What the kit sets out to reach, and whether a run did."""

from collections.abc import Iterator
from typing import NamedTuple

from bench import rpc, tasks, whole_path
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
    return found


def _rpc(results: rpc.Results) -> Iterator[Target]:
    rates = {label: samples[64].rate for label, samples in results.items()}
    faststream = rates[rpc.FASTSTREAM]
    yield Target(
        "RPC, quorum queue: times FastStream", 3.5, rates[rpc.QUORUM] / faststream
    )
    yield Target(
        "RPC, classic queue: times FastStream", 5, rates[rpc.CLASSIC] / faststream
    )


def _http(results: dict[str, whole_path.Result]) -> Iterator[Target]:
    rates = {label: result.samples[32].rate for label, result in results.items()}
    alone = {label: result.samples[1].p50 for label, result in results.items()}
    kit, peer = whole_path.KIT, whole_path.FASTSTREAM
    rate = rates[kit]
    yield Target("32 connections: times FastStream", 5, rate / rates[peer])
    as_written = rates[whole_path.AS_WRITTEN]
    yield Target("32 connections: times the flow as written", 15, rate / as_written)
    ceiling = rates[whole_path.NOOP]
    yield Target("32 connections: % of the ceiling", 20, 100 * rate / ceiling, " %")
    ratio = alone[kit] / alone[peer]
    yield Target("1 connection: p50 against FastStream's", 0.6, ratio, most=True)
    memory = results[kit].memory
    yield Target("RSS of the API", 110, memory["api"], " MB", most=True)
    yield Target("RSS of the data service", 50, memory["dataservice"], " MB", most=True)


def _tasks(results: dict[str, tasks.Result]) -> Iterator[Target]:
    kit, pooled = results[tasks.KIT], results[tasks.POOLED]
    per_call = results[tasks.PER_CALL]
    completed, accepted = kit.completed.rate, kit.accepted.rate
    yield Target(
        "completed: times stock with pooled RPC", 1.3, completed / pooled.completed.rate
    )
    yield Target(
        "completed: times stock with a connection per call",
        4,
        completed / per_call.completed.rate,
    )
    yield Target("accepted: times `delay()` inline", 3, accepted / pooled.accepted.rate)
    yield Target("acceptance: p50 at 1 connection", 5, kit.alone.p50, " ms", most=True)
