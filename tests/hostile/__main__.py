"""`python -m tests.hostile`: hostile clients together with a friendly one, within
budgets."""

import argparse
import secrets
import sys

from local import install
from local.apps import ROOT
from local.ports import free_port
from local.process import ProcessFailed
from local.servers.postgres import PostgreSQL
from local.servers.rabbitmq import RabbitMQ, find_script
from local.servers.redis import KeysRedis, Redis
from local.stack import Servers, Stack, migrate, start_all, stop_all
from local.state import LOCAL, State, remove_abandoned
from tests.chaos.report import table
from tests.hostile.attacks import attacks
from tests.hostile.memory_limits import limited
from tests.hostile.trial import HEAD, MOST, Trial, attempt, look_afterwards
from tests.hostile.witness import families

CLIENTS, SECONDS, SHORT = 64, 60.0, 6.0
PAGE = ROOT / "docs" / "BUDGETS.md"
MARK = "<!-- make hostile writes what follows -->\n"


def main(arguments: list[str]) -> int:
    """Run all attacks; returns the exit code, 1 if a target is missed."""
    options = _parser().parse_args(arguments)
    install.install_missing(print)
    if find_script() is None:
        raise ProcessFailed("this needs rabbitmq-server on this machine")
    remove_abandoned("hostile-")
    state = State(LOCAL / f"hostile-{secrets.token_hex(3)}")
    state.acquire()
    servers = Servers(
        PostgreSQL(state, free_port()),
        Redis(state, free_port()),
        KeysRedis(state, free_port()),
        RabbitMQ(state, free_port(), free_port()),
    )
    seconds = SHORT if options.short else options.seconds
    failed = True
    try:
        start_all(servers.own)
        trials, enforced = _run(state, servers, options.only, seconds)
        failed = any(trial.findings for trial in trials)
    finally:
        stop_all(servers.own)
        state.release(remove=not failed)
    report = _report(trials, seconds, enforced)
    print(f"\n{report}")
    if options.write:
        before, _, _ = PAGE.read_text().partition(MARK)
        PAGE.write_text(before + MARK + report)
    if failed:
        print(f"logs: {state.path / 'logs'}")
    return int(failed)


def _run(
    state: State, servers: Servers, only: str | None, seconds: float
) -> tuple[list[Trial], bool]:
    """The results of the attacks, and whether the kernel enforced the memory limits."""
    stack = Stack.create(
        state,
        servers,
        {"LOG_FORMAT": "json", "CELERY_WORKER_CONCURRENCY": "2"},
        api_ports=[free_port()],
        nginx_port=free_port(),
    )
    migrate(stack.env)
    names = [name for name in attacks() if only is None or only in name]
    plans = {name: [name] for name in names}
    if len(names) > 1:
        plans["all together"] = names
    trials = []
    try:
        stack.start()
        with limited(families(stack), MOST) as enforced:
            for name, parts in plans.items():
                trial = attempt(stack, name, parts, CLIENTS, seconds)
                look_afterwards(stack, trial)
                trials.append(trial)
                row = " | ".join(trial.row())
                print(row, *trial.findings, sep="\n  * ", flush=True)
    finally:
        stack.stop()
    return trials, enforced


def _report(trials: list[Trial], seconds: float, enforced: bool) -> str:
    memory = "enforced by control groups" if enforced else "measured, not enforced"
    rows = table(HEAD, [trial.row() for trial in trials])
    findings = [f"{each.name}: {f}" for each in trials for f in each.findings]
    missed = "\n".join(f"* {finding}" for finding in findings) or "None."
    return (
        f"{CLIENTS} clients for {seconds:.0f} s each. Memory limits: {memory}.\n\n"
        f"{rows}\n\n"
        f"Missed targets:\n\n{missed}\n"
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="make hostile", description=__doc__)
    parser.add_argument("--seconds", type=float, default=SECONDS, help="of each attack")
    parser.add_argument("--short", action="store_true", help=f"{SHORT:.0f} s of each")
    parser.add_argument("--only", help="attacks whose name has this in it")
    parser.add_argument("--write", action="store_true", help="into docs/BUDGETS.md")
    return parser


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except ProcessFailed as failure:
        sys.exit(str(failure))
