"""`python -m tests.chaos`: break everything in turn, then check that nothing is
missing."""

import argparse
import secrets
import sys
import time
from collections.abc import Callable

from local.apps import ROOT
from local.process import ProcessFailed
from local.state import LOCAL, State, remove_abandoned
from tests.chaos import events, held, ledger, logs, rebuilt, report, stored
from tests.chaos.clients import Clients, Poisoner
from tests.chaos.faults import schedule
from tests.chaos.record import Broken, Run
from tests.chaos.streams import Streams
from tests.chaos.subscriber import RECORDS
from tests.chaos.system import System
from tests.e2e.client import wait_for

PAGE = ROOT / "docs" / "RESILIENCE.md"
WARM_UP = 8.0  # seconds
SETTLE = 3.0  # seconds after each recovery, to see later failures
LONG = 3.0  # seconds until events arrive: worth a line
DRAIN = 150.0  # seconds: more than the visibility timeout and the retries' delays
QUEUE = "data_queue"


def main(arguments: list[str]) -> int:
    """Run everything; returns the exit code, 1 if anything is missing."""
    options = _parser().parse_args(arguments)
    seed = secrets.randbelow(10_000) if options.seed is None else options.seed
    print(f"seed {seed}", flush=True)
    remove_abandoned("chaos-")
    state = State(LOCAL / f"chaos-{secrets.token_hex(3)}")
    state.acquire()
    failed = True
    try:
        with System.create(state) as system:
            run = _run(system, seed, options)
        failed = bool(run.findings)
    finally:
        state.release(remove=not failed)
    _show(run)
    if options.write:
        report.write(run, PAGE, f"make chaos SEED={seed} ARGS=--write")
    if failed:
        print(f"logs: {state.path / 'logs'}")
    return int(failed)


def _run(system: System, seed: int, options: argparse.Namespace) -> Run:
    run = Run(seed, began=time.monotonic())
    clients = Clients(system.nginx.url, seed)
    streams = Streams(system.nginx.url, seed)
    with streams:
        poisoner = _break_all(system, run, clients, streams, options)
        _settle(system, run, streams)
    _audit(system, run, clients, poisoner)
    _audit_events(system, run, clients, streams)
    return run


def _break_all(
    system: System,
    run: Run,
    clients: Clients,
    streams: Streams,
    options: argparse.Namespace,
) -> Poisoner:
    """All faults under load; returns the poisoner of that time."""
    with clients, Poisoner(system.rabbitmq, clients.mark) as poisoner:
        clients.recovered()
        system.pause(WARM_UP)
        run.before = held.processes(system)
        run.clients_before = held.connections(system)
        for fault, seconds in schedule(run.seed, options.short, options.only):
            broken = Broken(fault.name, fault.planned, time.monotonic())
            run.faults.append(broken)
            broken.takeover = fault.act(system, seconds)
            broken.back = time.monotonic()
            broken.worked = clients.recovered()
            _wait_delivered(system, streams, run)
            broken.delivered = time.monotonic()
            system.pause(SETTLE)
            broken.ended = time.monotonic()
            print(broken, flush=True)
    run.attempts = clients.attempts
    return poisoner


def _wait_delivered(system: System, streams: Streams, run: Run) -> None:
    """Wait until everybody has every event that has happened so far."""
    newest = stored.newest_event(system.postgres)
    steps = {
        "the relay": lambda: stored.position(system.postgres) >= newest,
        "the service": lambda: stored.newest_effect(system.postgres) >= newest,
        "all clients": lambda: streams.have(newest),
    }
    for name, is_done in steps.items():
        began = time.monotonic()
        _wait(is_done, f"the events have reached {name}", run)
        if (seconds := time.monotonic() - began) > LONG:
            print(f"events reached {name} after {seconds:.1f} s more", flush=True)


def _wait(is_done: Callable[[], bool], what: str, run: Run) -> None:
    """Wait long enough for everything; what never happens is a finding."""
    try:
        wait_for(is_done, what, DRAIN)
    except AssertionError as error:
        run.findings.append(str(error))


def _settle(system: System, run: Run, streams: Streams) -> None:
    """Wait until all accepted work has ended, and everybody knows."""
    began = time.monotonic()
    _wait(lambda: stored.unfinished(system.postgres) == 0, "the end of all work", run)
    _wait_delivered(system, streams, run)
    log = stored.log(system.postgres)
    _wait(
        lambda: not events.lost_by_webhook(log, system.receiver.received),
        "the webhook has all events",
        run,
    )
    for queue in (QUEUE, RECORDS.name):
        stored.wait_empty(system.rabbitmq, queue)
    run.drained = time.monotonic() - began


def _audit(system: System, run: Run, clients: Clients, poisoner: Poisoner) -> None:
    run.after = held.processes(system)
    run.clients_after = held.connections(system)
    letters = stored.dead_letters(system.rabbitmq, f"{QUEUE}_dlq")
    run.counts = ledger.count(clients.works)
    run.poison = len(poisoner.sent)
    run.expired = sum(reason == "expired" for reason, _ in letters)
    run.findings += [
        *clients.breaches,
        *ledger.audit(clients.works, stored.rows(system.postgres)),
        *ledger.audit_dead_letters(
            poisoner.sent, poisoner.tried, letters, clients.works
        ),
        *(finding for fault in run.faults for finding in fault.judge(run.attempts)),
        *held.grown(run.before, run.after),
        *logs.audit(system.logs, system.stack.env, clients.mark),
    ]


def _audit_events(system: System, run: Run, clients: Clients, streams: Streams) -> None:
    log, rows = stored.log(system.postgres), stored.rows(system.postgres)
    letters = stored.dead_letters(system.rabbitmq, RECORDS.dead_letter_queue)
    effects = stored.effects(system.postgres)
    run.events = {
        "events in the log": len(log),
        "effects in the service": len(effects),
        "events that the webhook got": len(set(system.receiver.received)),
        "sent to the webhook again": len(system.receiver.received)
        - len(set(system.receiver.received)),
        "clients of streams": len(streams.listeners),
        "their connections": streams.connections,
        "events that they saw": sum(len(each.seen) for each in streams.listeners),
    }
    run.findings += [
        *streams.breaches,
        *system.receiver.breaches,
        *rebuilt.audit(system.stack.env),
        *events.audit_log(log, rows, clients.works),
        *events.audit_effects(log, effects),
        *events.audit_streams(log, streams.listeners),
        *events.audit_webhook(log, system.receiver.received),
        *events.audit_position(log, stored.position(system.postgres)),
        *(f"a dead letter of an event: {body[:200]}" for _, body in letters),
    ]


def _show(run: Run) -> None:
    parts = report.tables(run)
    for name in ("faults", "work", "answers", "events", "held"):
        print(f"\n{parts[name]}")
    print(f"\nclients: {parts['clients']}\n{len(run.findings)} findings:")
    print(parts["findings"])


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="make chaos", description=__doc__)
    parser.add_argument("--seed", type=int, help="of the order and of the clients")
    parser.add_argument(
        "--short", action="store_true", help="break each part once, not in every way"
    )
    parser.add_argument("--only", default="", help="break what has this in its name")
    parser.add_argument("--write", action="store_true", help=f"write docs/{PAGE.name}")
    return parser


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except ProcessFailed as failure:
        sys.exit(str(failure))
