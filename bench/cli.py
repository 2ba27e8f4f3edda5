"""The command."""

import argparse
from pathlib import Path

from local.apps import ROOT
from local.extras import install_extras
from local.registry import lacks_demo

PARTS = ("rpc", "http", "tasks", "tracing", "events", "relay")
PAGE = ROOT / "docs" / "BENCHMARKS.md"


def main(arguments: list[str]) -> int:
    """Measure, print and write; returns the exit code. Raises ProcessFailed."""
    options = _parser().parse_args(arguments)
    if lacks_demo("make bench"):
        return 0
    install_extras(ROOT / "bench" / "requirements.txt")
    # Imported late: these import the peers' packages or read their versions.
    from bench import event_log, machine, relay, report, rpc, tasks, tracing, whole_path
    from bench.results import Results
    from bench.setting import open_setting

    parts = options.only or PARTS
    with open_setting(options.seconds, options.rounds) as setting:
        results = Results(machine.describe(setting))
        if "rpc" in parts:
            results.calls = rpc.run(setting)
        if "http" in parts:
            results.requests = whole_path.run(setting)
        if "tasks" in parts:
            results.work = tasks.run(setting)
        if "tracing" in parts:
            results.traced = tracing.run(setting)
        if "events" in parts:
            results.logged = event_log.run(setting)
        if "relay" in parts:
            results.relayed = relay.run(setting)
    print("\n\n".join(report.figures(results).values()))
    if set(parts) == set(PARTS):
        report.write(results, options.page, _command(options.seconds, options.rounds))
        print(f"\nWritten to {options.page}")
    return 0


def _command(seconds: int, rounds: int) -> str:
    return f'make bench ARGS="--seconds {seconds} --rounds {rounds}"'


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="make bench",
        description="Compare the kit with other ways to wire the same stack.",
    )
    parser.add_argument(
        "--only",
        action="append",
        choices=PARTS,
        help="run only this part; only a complete run writes the page",
    )
    parser.add_argument(
        "--seconds",
        type=_positive,
        default=10,
        help="duration of each measurement, in seconds",
    )
    parser.add_argument(
        "--rounds", type=_positive, default=3, help="rounds, whose median counts"
    )
    parser.add_argument("--page", type=Path, default=PAGE, help="where to write it")
    return parser


def _positive(text: str) -> int:
    if (number := int(text)) < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return number
