"""Part six: the relay, from the commit of an event to RabbitMQ."""

import threading
import time
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import psycopg2
from kombu import Connection, Consumer, Queue

from bench.figures import Load
from bench.setting import Setting, running, say
from bench.usage import cpu_seconds
from chassis.events.topology import EXCHANGE, events_exchange
from local.apps import event_relay

# So many are published at once, each with a row of about a kilobyte.
BACKLOG = 30_000
FILL = """
INSERT INTO record_events (sequence, type, subject, data)
SELECT (SELECT next_event_sequence(%(many)s)) - 1 + number, 'record.succeeded',
    gen_random_uuid(), json_build_object('payload', repeat('x', 900))
FROM generate_series(1, %(many)s) AS number"""
ADD = """INSERT INTO record_events (type, subject, data)
VALUES ('bench.added', %s, '{}')"""
IS_DONE = """
SELECT position >= coalesce((SELECT max(sequence) FROM record_events), -1)
FROM event_relay"""

# One event after another, each after a pause in seconds.
ADDED, PAUSE = 300, 0.02
# Seconds until a relay without events looks least often, and for how long to measure.
QUIET, IDLE = 11.0, 10.0


@dataclass(frozen=True)
class Result:
    """Events per second of each round, from commit to the relay's own commit; latency
    from commit to arrival; CPU time per second without any event."""

    rates: list[float]
    latency: Load
    idle_relay: float
    idle_postgres: float


def run(setting: Setting) -> Result:
    """Measure with one quorum queue bound to the exchange."""
    env = {**setting.servers.environment(), "LOG_LEVEL": "WARNING"}
    relay = event_relay("bench-relay", setting.state, env)
    url = setting.servers.postgres.url().replace("+psycopg2", "")
    with running([relay]), closing(psycopg2.connect(url)) as database:
        database.autocommit = True
        cursor = database.cursor()
        _wait_published(cursor)  # what other parts left
        with Inbox(setting) as inbox:
            latency = _latency(cursor, inbox)
            say(f"events: p50 {latency.p50:.1f} ms from commit to arrival")
        time.sleep(QUIET)
        before = cpu_seconds([relay]), cpu_seconds([setting.servers.postgres])
        time.sleep(IDLE)
        idle_relay = (cpu_seconds([relay]) - before[0]) / IDLE
        idle_postgres = (cpu_seconds([setting.servers.postgres]) - before[1]) / IDLE
        rates = []
        for number in range(1, setting.rounds + 1):
            with Inbox(setting, takes=False):
                rates.append(_drain(cursor))
            say(f"events {number}/{setting.rounds}: {rates[-1]:,.0f} events/s")
    return Result(rates, latency, idle_relay, idle_postgres)


def _drain(cursor: Any) -> float:
    cursor.execute(FILL, {"many": BACKLOG})
    began = time.monotonic()
    _wait_published(cursor)
    return BACKLOG / (time.monotonic() - began)


def _wait_published(cursor: Any) -> None:
    while True:
        cursor.execute(IS_DONE)
        if cursor.fetchone()[0]:
            return
        time.sleep(0.02)


def _latency(cursor: Any, inbox: "Inbox") -> Load:
    taken, began = [], time.monotonic()
    for number in range(ADDED):
        cursor.execute(ADD, [str(number)])
        committed = time.monotonic()
        assert inbox.arrived.wait(10), "no event arrived"
        inbox.arrived.clear()
        taken.append(inbox.moment - committed)
        time.sleep(PAUSE)
    return Load.of(taken, time.monotonic() - began)


class Inbox:
    """A quorum queue bound to the exchange, which notes when events arrive; or one
    that only keeps them."""

    def __init__(self, setting: Setting, *, takes: bool = True) -> None:
        self._connection = Connection(setting.rabbitmq.url())
        self._takes = takes
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._take)
        self.arrived = threading.Event()
        self.moment = 0.0

    def __enter__(self) -> "Inbox":
        arguments = {"x-queue-type": "quorum"}
        channel = self._connection.channel()
        self._queue = Queue(
            "bench.events", events_exchange(EXCHANGE), "#", queue_arguments=arguments
        )(channel)
        self._queue.declare()
        if self._takes:
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        if self._thread.ident is not None:
            self._thread.join()
        self._queue.delete()
        self._connection.close()

    def _take(self) -> None:
        consumer = Consumer(
            self._connection, [self._queue], on_message=self._note, no_ack=True
        )
        with consumer:
            while not self._stopped.is_set():
                try:
                    self._connection.drain_events(timeout=0.1)
                except TimeoutError:
                    continue

    def _note(self, _: Any) -> None:
        self.moment = time.monotonic()
        self.arrived.set()
