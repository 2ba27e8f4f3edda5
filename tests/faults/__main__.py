"""`python -m tests.faults`: break the code on purpose, and count what the tests see."""

import argparse
import os
import sys
import time
from pathlib import Path

from local.apps import ROOT
from local.extras import install_extras
from local.process import ProcessFailed
from tests.faults import known, planted
from tests.faults.changes import Functions, base, changed_functions, functions_below
from tests.faults.copies import FOLDER, copy_project
from tests.faults.mutants import COMPONENTS, Component, Outcome, run

REQUIREMENTS = Path(__file__).with_name("requirements.txt")


def main(arguments: list[str]) -> int:
    """Run what is asked for; 1 if a fault of our own is unseen, or could not be tested.
    The score of mutants is for people to judge. Raises ProcessFailed."""
    options = _parser().parse_args(arguments)
    if options.faults is not None:
        return _plant(options.faults)
    install_extras(REQUIREMENTS)
    ends = time.monotonic() + 60 * options.minutes
    wanted = _wanted(options)
    outcomes = []
    for index, (component, functions) in enumerate(wanted):
        seconds = max(ends - time.monotonic(), 0) / (len(wanted) - index)
        outcomes.append(run(component, functions, seconds, options.processes))
    for outcome in outcomes:
        _show(outcome)
    if not outcomes:
        print("No function changed. ARGS=--all breaks everything, ARGS=PATH a file.")
    return 0


def _wanted(options: argparse.Namespace) -> list[tuple[Component, Functions]]:
    """What to break: functions by file, of each component that has any."""
    found = []
    for component in COMPONENTS:
        places = [*component.places]
        if options.paths or options.all:
            functions = functions_below(ROOT, options.paths or places)
        else:
            since = options.since or base(ROOT)
            functions = changed_functions(ROOT, since, places)
        source = Path(component.folder, component.source)
        own = {f: names for f, names in functions.items() if source in Path(f).parents}
        if own:
            found.append((component, own))
    return found


def _show(outcome: Outcome) -> None:
    print(f"\n== {outcome.component}\n")
    if outcome.diffs:
        print(f"Survivors:\n\n{outcome.diffs}")
    for name, count in sorted(outcome.unreached.items()):
        print(f"no unit test calls {name} ({count} mutants)")
    print(f"\n{outcome.summary()}")


def _plant(words: list[str]) -> int:
    faults = [
        fault
        for fault in known.present(ROOT)
        if not words or any(word in f"{fault.file} {fault.name}" for word in words)
    ]
    copy = copy_project(FOLDER / "faults")
    for failure in planted.without_fault(copy, faults):
        print(f"These tests do not pass before there is a fault:\n{failure}")
        return 1
    verdicts = []
    for fault in faults:
        verdicts.append(planted.see(copy, fault))
        print(f"{verdicts[-1]:8} {fault.file}: {fault.name}", flush=True)
    seen = verdicts.count("found")
    print(f"\nfaults of our own: {seen} of {len(faults)} found")
    return int(seen < len(faults))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="make mutate", description=__doc__)
    parser.add_argument("paths", nargs="*", help="files or folders to break")
    parser.add_argument(
        "--since",
        metavar="COMMIT",
        help="break the functions that changed since (default: since main)",
    )
    parser.add_argument("--all", action="store_true", help="break everything")
    parser.add_argument("--minutes", type=float, default=10, help="in all (10)")
    parser.add_argument(
        "--processes", type=int, default=os.cpu_count() or 1, help="side by side"
    )
    parser.add_argument(
        "--faults",
        nargs="*",
        metavar="WORD",
        help="instead, try the faults of our own (those with a word in path or name)",
    )
    return parser


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except ProcessFailed as error:
        sys.exit(str(error))
