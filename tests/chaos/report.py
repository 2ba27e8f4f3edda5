"""The report: for the terminal, and as a page with its chart."""

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import date
from pathlib import Path
from string import Template

from tests.chaos import timeline
from tests.chaos.record import Run

TEMPLATE = Path(__file__).with_name("RESILIENCE.template.md")


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Markdown; the first two columns are text."""
    lines = [head, ["---", "---", *["---:"] * (len(head) - 2)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def tables(run: Run) -> dict[str, str]:
    """The parts of the page, by their names in the template."""
    faults = [
        [str(number), *fault.row(run.attempts, run.began)]
        for number, fault in enumerate(run.faults, start=1)
    ]
    head = ["#", "fault", "at", "lasted", "requests", "failed", "how", "recovery"]
    head += ["events"]
    answers = Counter(str(each.status or "closed") for each in run.attempts)
    seconds = run.attempts[-1].began - run.began
    recoveries = [fault.recovery(run.attempts) for fault in run.faults]
    held = [
        [
            name,
            f"{then.megabytes:.0f} → {now.megabytes:.0f} MB",
            f"{then.threads} → {now.threads}",
            f"{then.descriptors} → {now.descriptors}",
            f"{then.connections} → {now.connections}",
        ]
        for name, then in run.before.items()
        if (now := run.after.get(name))
    ]
    return {
        "faults": table(head, faults),
        "work": table(
            ["work", "count"], [[k, f"{v:,}"] for k, v in run.counts.items()]
        ),
        "events": table(
            ["events", "count"], [[k, f"{v:,}"] for k, v in run.events.items()]
        ),
        "answers": table(
            ["answer", "count"], [[k, f"{v:,}"] for k, v in sorted(answers.items())]
        ),
        "held": table(
            ["process", "memory", "threads", "descriptors", "connections"], held
        ),
        "clients": ", ".join(
            f"{name} {count} → {run.clients_after[name]}"
            for name, count in run.clients_before.items()
        ),
        "requests": f"{len(run.attempts):,}",
        "rate": f"{len(run.attempts) / seconds:.0f}",
        "seconds": f"{seconds:.0f}",
        "recovery": f"{max(recoveries, default=0):.2f}",
        "delivery": f"{max(each.delivered - each.back for each in run.faults):.2f}",
        "takeover": f"{max(each.takeover or 0 for each in run.faults):.2f}",
        "drained": f"{run.drained:.0f}",
        "poison": str(run.poison),
        "expired": str(run.expired),
        "findings": "\n".join(f"* {finding}" for finding in run.findings) or "None.",
    }


def write(run: Run, page: Path, command: str) -> None:
    """Fill in the template; the chart stands beside the page."""
    picture = page.with_suffix(".svg")
    picture.write_text(timeline.draw(run.attempts, run.faults, run.began))
    text = Template(TEMPLATE.read_text()).substitute(
        tables(run),
        command=command,
        seed=run.seed,
        date=date.today().isoformat(),
        chart=picture.name,
    )
    page.write_text(text)
