"""Compares what clients saw with what the clusters store in the end."""

import time
from collections.abc import Callable

from tests.chaos import events, ledger, logs, rebuilt, stored
from tests.chaos.clients import Clients, Poisoner
from tests.chaos.streams import Streams
from tests.chaos.subscriber import RECORDS
from tests.e2e.client import wait_for
from tests.ha.record import Run
from tests.ha.system import System

QUEUE = "data_queue"
DRAIN = 150.0  # seconds: more than the visibility timeout and the delays of retries


def settle(system: System, run: Run, streams: Streams) -> None:
    """Wait until all accepted work has ended, and everybody knows."""
    began = time.monotonic()
    postgres, broker = system.clusters.postgres, system.clusters.broker

    def wait(is_done: Callable[[], bool], what: str) -> None:
        try:
            wait_for(is_done, what, DRAIN)
        except AssertionError as error:
            run.findings.append(str(error))

    wait(lambda: stored.unfinished(postgres) == 0, "the end of all work")
    newest = stored.newest_event(postgres)
    wait(lambda: stored.position(postgres) >= newest, "the relay has all events")
    wait(lambda: stored.newest_effect(postgres) >= newest, "so has the service")
    wait(lambda: streams.have(newest), "so have all clients")
    log = stored.log(postgres)
    wait(
        lambda: not events.lost_by_webhook(log, system.receiver.received),
        "so has the webhook",
    )
    for queue in (QUEUE, RECORDS.name):
        stored.wait_empty(broker, queue)
    run.drained = time.monotonic() - began


def audit(
    system: System, run: Run, clients: Clients, poisoner: Poisoner, streams: Streams
) -> None:
    """Add every difference to the findings."""
    postgres, broker = system.clusters.postgres, system.clusters.broker
    rows, log = stored.rows(postgres), stored.log(postgres)
    effects = stored.effects(postgres)
    letters = stored.dead_letters(broker, f"{QUEUE}_dlq")
    unwanted = stored.dead_letters(broker, RECORDS.dead_letter_queue)
    run.attempts = clients.attempts
    run.counts = {
        **ledger.count(clients.works),
        "events in the log": len(log),
        "effects in the service": len(effects),
        "events that the webhook got": len(set(system.receiver.received)),
        "events that clients of streams saw": sum(
            len(each.seen) for each in streams.listeners
        ),
    }
    run.findings += [
        *clients.breaches,
        *streams.breaches,
        *system.receiver.breaches,
        *(finding for fault in run.faults for finding in fault.judge(run.attempts)),
        *ledger.audit(clients.works, rows),
        *ledger.audit_dead_letters(
            poisoner.sent, poisoner.tried, letters, clients.works
        ),
        *events.audit_log(log, rows, clients.works),
        *events.audit_effects(log, effects),
        *events.audit_streams(log, streams.listeners),
        *events.audit_webhook(log, system.receiver.received),
        *events.audit_position(log, stored.position(postgres)),
        *(f"a dead letter of an event: {body[:200]}" for _, body in unwanted),
        *rebuilt.audit(system.env),
        *logs.audit((app.child.log for app in system.apps), system.env, clients.mark),
    ]
