"""Traces as trees for a terminal: which span called which, when, and for how long."""

from collections import defaultdict
from collections.abc import Iterable, Iterator

from local.otlp.model import Span

WIDTH = 24
COLOURS = (36, 33, 35, 32, 34, 31)
RESET = "\033[0m"
FAILED = "\033[1;31m"
DIM = "\033[2m"

# The attributes that a line shows after the name.
DETAILS = (
    "http.response.status_code",
    "error.type",
    "app.batch.size",
    "app.rpc.queue_time",
    "celery.state",
)


def last_traces(spans: Iterable[Span], count: int) -> list[list[Span]]:
    """The spans of the latest traces, oldest trace first."""
    traces: defaultdict[str, list[Span]] = defaultdict(list)
    for span in spans:
        traces[span.trace].append(span)
    ordered = sorted(traces.values(), key=lambda trace: min(s.start for s in trace))
    return ordered[-count:]


def draw(trace: list[Span], *, colours: bool) -> str:
    """One trace; spans whose parent is not among them are its roots."""
    ids = {span.id for span in trace}
    children: defaultdict[str, list[Span]] = defaultdict(list)
    for span in sorted(trace, key=lambda span: span.start):
        children[span.parent if span.parent in ids else ""].append(span)
    start = min(span.start for span in trace)
    end = max(span.end for span in trace)
    services = sorted({span.service for span in trace})
    lines = [f"trace {trace[0].trace}  {(end - start) / 1e6:.1f} ms"]
    for depth, span in _walk(children, "", 0):
        bar = _bar(span, start, end)
        name = f"{'  ' * depth}{span.service}: {span.name}"
        line = f"  {bar} {span.milliseconds:9.1f} ms  {name}"
        if colours:
            colour = COLOURS[services.index(span.service) % len(COLOURS)]
            line = f"\033[{colour}m{line}{RESET}"
        lines.append(line + _details(span, colours))
    return "\n".join(lines)


def _walk(
    children: dict[str, list[Span]], parent: str, depth: int
) -> Iterator[tuple[int, Span]]:
    for span in children.get(parent, []):
        yield depth, span
        yield from _walk(children, span.id, depth + 1)


def _bar(span: Span, start: int, end: int) -> str:
    """Where the span lies within the trace."""
    length = max(1, end - start)
    first = min(WIDTH - 1, (span.start - start) * WIDTH // length)
    last = max(first + 1, -((start - span.end) * WIDTH // length))
    return "·" * first + "━" * (last - first) + "·" * (WIDTH - last)


def _details(span: Span, colours: bool) -> str:
    shown = [
        f"{name.rpartition('.')[2]}={_short(span.attributes[name])}"
        for name in DETAILS
        if name in span.attributes
    ]
    shown += [f"link={trace[:8]}/{span_id[:8]}" for trace, span_id in span.links[:3]]
    if span.failed:
        shown.insert(0, "FAILED")
    text = "  " + " ".join(shown) if shown else ""
    if not colours or not text:
        return text
    return f"{FAILED if span.failed else DIM}{text}{RESET}"


def _short(value: object) -> str:
    return f"{value * 1000:.1f}ms" if isinstance(value, float) else str(value)
