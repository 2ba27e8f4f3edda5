"""The report: printed, and written as a page with its chart."""

from datetime import date
from pathlib import Path
from string import Template

from bench import chart, tables, targets, whole_path
from bench.figures import middle
from bench.results import Results

TEMPLATE = Path(__file__).with_name("BENCHMARKS.template.md")
CHART_TITLE = "POST /process, 32 connections: requests a second"


def figures(results: Results) -> dict[str, str]:
    """The tables by their names in the template."""
    found = {"machine": tables.machine(results.machine)}
    if results.calls:
        found["rpc"] = tables.remote_calls(results.calls)
    if results.requests:
        found["http_many"] = tables.requests(results.requests, 32)
        found["http_one"] = tables.requests(results.requests, 1)
        found["memory"] = tables.memory(results.requests)
    if results.work:
        found["tasks"] = tables.accepted_work(results.work)
    if results.logged:
        found["log"] = tables.logged(results.logged)
    if results.traced:
        found["tracing"] = tables.traced(results.traced)
    if results.relayed:
        found["relay"] = tables.relayed(results.relayed)
    rows = [target.row() for target in targets.of(results)]
    found["targets"] = tables.table(["target", "bound", "measured", "holds"], rows)
    if results.requests or results.work:
        found["failed"] = f"{results.failed or 'No'} requests failed."
    return found


def write(results: Results, page: Path, command: str) -> None:
    """Fill in the template; the chart stands beside the page."""
    picture = page.with_suffix(".svg")
    rates = {
        label: middle(result.rounds[32]).rate
        for label, result in results.requests.items()
    }
    picture.write_text(chart.bars(CHART_TITLE, rates, own=whole_path.KIT))
    text = Template(TEMPLATE.read_text()).substitute(
        figures(results),
        command=command,
        date=date.today().isoformat(),
        chart=picture.name,
    )
    page.write_text(text)
