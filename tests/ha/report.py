"""The report: for the terminal, and as a page."""

from datetime import date
from pathlib import Path
from string import Template

from tests.chaos.report import table
from tests.ha.record import Run

TEMPLATE = Path(__file__).with_name("AVAILABILITY.template.md")
HEAD = ["#", "fault", "requests", "failed", "how", "writes again", "bound", "whole"]


def tables(run: Run) -> dict[str, str]:
    """The parts of the page, by their names in the template."""
    faults = [
        [str(number), *fault.row(run.attempts)]
        for number, fault in enumerate(run.faults, start=1)
    ]
    counts = [[name, f"{count:,}"] for name, count in run.counts.items()]
    seconds = run.attempts[-1].began - run.attempts[0].began
    return {
        "faults": table(HEAD, faults),
        "counts": table(["what", "count"], counts),
        "requests": f"{len(run.attempts):,}",
        "rate": f"{len(run.attempts) / seconds:.0f}",
        "minutes": f"{seconds / 60:.0f}",
        "drained": f"{run.drained:.0f}",
        "findings": "\n".join(f"* {finding}" for finding in run.findings) or "None.",
    }


def text(run: Run) -> str:
    """For the terminal."""
    parts = tables(run)
    return "\n\n".join(
        [
            parts["faults"],
            parts["counts"],
            f"{len(run.findings)} findings:\n{parts['findings']}",
        ]
    )


def write(run: Run, page: Path, command: str) -> None:
    """Fill in the template."""
    template = Template(TEMPLATE.read_text())
    today = date.today().isoformat()
    page.write_text(template.substitute(tables(run), command=command, date=today))
