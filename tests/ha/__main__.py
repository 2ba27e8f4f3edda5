"""`python -m tests.ha`: lose every node in turn, then check that nothing is missing."""

import argparse
import secrets
import signal
import sys
import time

from local.apps import ROOT
from local.ha.run import FOLDER
from local.process import ProcessFailed
from local.state import LOCAL, State
from tests.chaos.clients import Clients, Poisoner
from tests.chaos.streams import Streams
from tests.ha import account, report, speed
from tests.ha.faults import Planned, schedule
from tests.ha.record import Fault, Run, recovery
from tests.ha.system import System

PAGE = ROOT / "docs" / "AVAILABILITY.md"
PACE = 0.4  # of the load of `make chaos`: about 45 requests a second
WARM_UP = 8.0  # seconds
QUIET = 10.0  # seconds without a failed write: clients have recovered, none hangs
PATIENCE = 60.0  # seconds until they have
SETTLE = 3.0  # seconds after each fault, to see later failures
STREAMS, WEBSOCKETS = 12, 3


def main(arguments: list[str]) -> int:
    """Run everything; returns the exit code, 1 if anything is missing."""
    options = _parser().parse_args(arguments)
    seed = secrets.randbelow(10_000) if options.seed is None else options.seed
    _say(f"seed {seed}")
    # The signal of whoever stops us must not leave anything behind.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    state = State(LOCAL / FOLDER)
    state.acquire()
    state.release(remove=True)  # what an earlier run left
    state.acquire()
    failed = True
    try:
        if options.speed:
            speed.compare(state, _say)
            failed = False
            return 0
        with System.prepare(state, _say) as system:
            run = _run(system, seed, options)
        failed = bool(run.findings)
    finally:
        state.release(remove=not failed)
    _say(report.text(run))
    if options.write:
        only = f" --only {options.only}" if options.only else ""
        report.write(run, PAGE, f'make ha SEED={seed} ARGS="--write{only}"')
    if failed:
        _say(f"logs: {state.path / 'logs'}")
    return int(failed)


def _run(system: System, seed: int, options: argparse.Namespace) -> Run:
    run = Run(seed)
    clients = Clients(system.nginx.url, seed, PACE)
    streams = Streams(system.nginx.url, seed, STREAMS, WEBSOCKETS)
    poisoner = Poisoner(system.clusters.broker, clients.mark)
    with streams:
        with clients, poisoner:
            clients.recovered()
            system.pause(WARM_UP)
            for planned in schedule(seed, options.short, options.only):
                _break(system, run, clients, planned)
        account.settle(system, run, streams)
    account.audit(system, run, clients, poisoner, streams)
    return run


def _break(system: System, run: Run, clients: Clients, planned: Planned) -> None:
    fault = Fault(planned.name, planned.bound, time.monotonic())
    run.faults.append(fault)
    make_whole = planned.begin(system)
    if planned.bound is not None:
        _wait_recovered(system, clients, fault)
    system.pause(fault.began + planned.seconds - time.monotonic())
    fault.mended = time.monotonic()
    try:
        make_whole()
    except ProcessFailed as error:
        run.findings.append(f"{fault.name}: {str(error).splitlines()[0]}")
    fault.whole = time.monotonic()
    system.pause(SETTLE)
    fault.ended = time.monotonic()
    _say(" | ".join(fault.row(list(clients.attempts))))


def _wait_recovered(system: System, clients: Clients, fault: Fault) -> None:
    """Until writes have succeeded for a while, or never seem to."""
    until = fault.began + PATIENCE
    while (now := time.monotonic()) < until:
        seconds = recovery(list(clients.attempts), fault.began, now)
        if seconds is not None and now > fault.began + seconds + QUIET:
            return
        system.pause(0.2)


def _say(text: str) -> None:
    print(text, flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="make ha", description=__doc__)
    parser.add_argument("--seed", type=int, help="of the order and of the clients")
    parser.add_argument(
        "--short", action="store_true", help="lose the most important parts only"
    )
    parser.add_argument(
        "--only", default="", help="break what has one of these words in its name: a,b"
    )
    parser.add_argument("--write", action="store_true", help=f"write docs/{PAGE.name}")
    parser.add_argument(
        "--speed",
        action="store_true",
        help="only compare its speed with that of one of each server",
    )
    return parser


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except ProcessFailed as failure:
        sys.exit(str(failure))
