"""Results as Markdown tables."""

from collections.abc import Iterable, Mapping, Sequence
from statistics import median

from bench import rpc, tasks, tracing, whole_path


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """The first column is text, the others are numbers."""
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def machine(facts: Mapping[str, str]) -> str:
    """Names and values."""
    rows = [f"| {name} | {value} |" for name, value in facts.items()]
    return "\n".join(["| | |", "| --- | --- |", *rows])


def remote_calls(results: rpc.Results) -> str:
    """Part one."""
    many, one = rpc.IN_FLIGHT
    kit = results[rpc.QUORUM][many].rate
    head = ["client and responder", f"calls/s, {many} in flight", f"p50, {many}"]
    head += [f"calls/s, {one} in flight", f"p50, {one}", "kit (quorum) is"]
    rows = [
        [
            label,
            _number(samples[many].rate),
            _ms(samples[many].p50),
            _number(samples[one].rate),
            _ms(samples[one].p50),
            _times(kit, samples[many].rate),
        ]
        for label, samples in results.items()
    ]
    return table(head, rows)


def requests(results: Mapping[str, whole_path.Result], connections: int) -> str:
    """Part two, at one number of connections."""
    kit = results[whole_path.KIT].samples[connections].rate
    ceiling = results[whole_path.NOOP].samples[connections].rate
    head = ["contender", "req/s", "p50", "p95", "p99", "CPU s per 1,000"]
    head += ["kit is", "of the ceiling"]
    rows = []
    for label, result in results.items():
        sample = result.samples[connections]
        row = [label, _number(sample.rate)]
        row += [_ms(value) for value in (sample.p50, sample.p95, sample.p99)]
        row += [f"{sample.cpu:.2f}", _times(kit, sample.rate)]
        rows.append([*row, f"{sample.rate / ceiling:.0%}"])
    return table(head, rows)


def memory(results: Mapping[str, whole_path.Result]) -> str:
    """Part two: each process after the run."""
    rows = [
        [label, name, f"{megabytes:.0f} MB"]
        for label, result in results.items()
        if label != whole_path.GATEWAY
        for name, megabytes in result.memory.items()
    ]
    head = ["| contender | process | RSS |", "| --- | --- | ---: |"]
    return "\n".join([*head, *(f"| {' | '.join(row)} |" for row in rows)])


def acceptance(results: Mapping[str, tasks.Result]) -> str:
    """Part three."""
    kit = results[tasks.PREFORK]
    head = [
        "contender",
        "accepted/s, 32 connections",
        "kit, prefork, is",
        "p50, 1 connection",
    ]
    head += [
        "completed/s",
        "kit, prefork, is",
        "CPU s per 1,000 completed",
        "worker RSS",
    ]
    rows = [
        [
            label,
            _number(result.accepted.rate),
            _times(kit.accepted.rate, result.accepted.rate),
            _ms(result.alone.p50),
            _number(result.completed.rate),
            _times(kit.completed.rate, result.completed.rate),
            f"{result.completed.cpu:.2f}",
            " + ".join(f"{part:.0f}" for part in result.memory) + " MB",
        ]
        for label, result in results.items()
    ]
    return table(head, rows)


def traced(results: tracing.Results) -> str:
    """Part four."""
    shares = tracing.shares(results)
    head = ["traces kept", "req/s", "processor time a request", "of tracing off"]
    rows = [
        [
            label,
            _number(median(one.rate for one in rounds)),
            _ms(median(one.cpu_ms for one in rounds)),
            f"{shares[label]:.0%}",
        ]
        for label, rounds in results.items()
    ]
    return table(head, rows)


def _number(value: float) -> str:
    return f"{value:,.0f}"


def _ms(value: float) -> str:
    return f"{value:.2f} ms" if value < 10 else f"{value:.0f} ms"


def _times(kit: float, other: float) -> str:
    return "-" if kit == other else f"{kit / other:.2g} x"
