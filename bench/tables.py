"""Results as Markdown tables."""

from collections.abc import Iterable, Mapping, Sequence
from statistics import median

from bench import event_log, relay, rpc, tasks, tracing, whole_path
from bench.figures import Sample, middle, times


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
    kit = results[rpc.QUORUM][many]
    head = ["client and responder", f"calls/s, {many} in flight", f"p50, {many}"]
    head += [f"calls/s, {one} in flight", f"p50, {one}", "kit is"]
    rows = []
    for label, by_calls in results.items():
        row = [label]
        for calls in (many, one):
            sample = middle(by_calls[calls])
            row += [_number(sample.rate), _ms(sample.p50)]
        rows.append([*row, _times(kit, by_calls[many])])
    return table(head, rows)


def requests(results: Mapping[str, whole_path.Result], connections: int) -> str:
    """Part two, at one number of connections."""
    kit = results[whole_path.KIT].rounds[connections]
    head = ["contender", "req/s", "p50", "p95", "p99", "CPU s per 1,000", "kit is"]
    rows = []
    for label, result in results.items():
        rounds = result.rounds[connections]
        sample = middle(rounds)
        row = [label, _number(sample.rate)]
        row += [_ms(value) for value in (sample.p50, sample.p95, sample.p99)]
        rows.append([*row, f"{sample.cpu:.2f}", _times(kit, rounds)])
    return table(head, rows)


def memory(results: Mapping[str, whole_path.Result]) -> str:
    """Part two: the peak memory of each process."""
    rows = [
        [label, name, f"{megabytes:.0f} MB"]
        for label, result in results.items()
        if label != whole_path.GATEWAY
        for name, megabytes in result.memory.items()
    ]
    head = ["| contender | process | peak RSS |", "| --- | --- | ---: |"]
    return "\n".join([*head, *(f"| {' | '.join(row)} |" for row in rows)])


def accepted_work(results: tasks.Results) -> str:
    """Part three."""
    stock = results[tasks.POOLED]
    head = ["contender", "accepted/s", "times stock", "completed/s", "times stock"]
    head += ["CPU s per 1,000 completed", "peak RSS of the worker"]
    rows = []
    for label, one in results.items():
        completed = middle(one.completed)
        row = [label, _number(middle(one.accepted).rate)]
        row += [_times(one.accepted, stock.accepted), _number(completed.rate)]
        row += [_times(one.completed, stock.completed), f"{completed.cpu:.2f}"]
        rows.append([*row, " + ".join(f"{part:.0f}" for part in one.memory) + " MB"])
    return table(head, rows)


def traced(results: tracing.Results) -> str:
    """Part four."""
    shares = tracing.shares(results)
    head = ["traces kept", "req/s", "CPU time per request", "of tracing off"]
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


def logged(pairs: Sequence[event_log.Pair]) -> str:
    """Part five."""
    rates = {
        name: median(getattr(p, name) for p in pairs) for name in event_log.Pair._fields
    }
    head = ["event log", "req/s", "of the rate without"]
    return table(
        head,
        [
            ["off", _number(rates["without"]), "100%"],
            ["on", _number(rates["logged"]), f"{event_log.share([*pairs]):.0%}"],
        ],
    )


def relayed(result: relay.Result) -> str:
    """Part six."""
    rows = [
        ("events/s, of a backlog", _number(median(result.rates))),
        ("from commit to arrival, p50", _ms(result.latency.p50)),
        ("from commit to arrival, p99", _ms(result.latency.p99)),
        ("CPU of the relay without events", f"{result.idle_relay:.1%}"),
        ("CPU of PostgreSQL meanwhile", f"{result.idle_postgres:.1%}"),
    ]
    return table(["event relay", "measured"], rows)


def _number(value: float) -> str:
    return f"{value:,.0f}"


def _ms(value: float) -> str:
    return f"{value:.2f} ms" if value < 10 else f"{value:.0f} ms"


def _times(ours: Sequence[Sample], theirs: Sequence[Sample]) -> str:
    return "-" if ours is theirs else f"{times(ours, theirs):.2g} x"
