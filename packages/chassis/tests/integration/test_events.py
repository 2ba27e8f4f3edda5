"""Events in a service: a real broker, a real database, real processes."""

import json
import signal
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import amqp
import psycopg2
import pytest
from pydantic import SecretStr

from chassis.events import inbox
from chassis.events.event import CONTENT_TYPE, event_json
from chassis.events.inbox import Inbox
from chassis.events.topology import Subscription
from chassis.settings import ReceivedEventSettings
from local.otlp.receiver import Receiver
from local.servers.postgres import PostgreSQL
from local.servers.rabbitmq import RabbitMQ
from tests.integration.conftest import Start
from tests.integration.process import ServiceProcess
from tests.integration.test_telemetry import SPAN, TRACE, exporting
from tests.integration.waiting import lines, wait_until

PROGRAM = ["-m", "tests.integration.shop"]


class Shop:
    """A service with an exchange and a schema of its own, and its publisher."""

    def __init__(
        self, launch: Start, rabbitmq: RabbitMQ, vhost: str, url: str, folder: Path
    ) -> None:
        self.name = f"shop_{uuid.uuid4().hex[:8]}"
        self.exchange = f"events_{self.name}"
        self.notes, self.gate = folder / "notes", folder / "gate"
        self.orders = Subscription(self.name, "shop.*", self.exchange)
        self.plain = Subscription(self.name, "plain.#", self.exchange)
        self._launch, self._rabbitmq, self._vhost = launch, rabbitmq, vhost
        self.url = url
        self._connection = amqp.Connection(
            f"{rabbitmq.host}:{rabbitmq.port}",
            userid=rabbitmq.user,
            password=rabbitmq.password,
            virtual_host=vhost,
        )
        self._connection.connect()
        self._channel = self._connection.channel()

    def close(self) -> None:
        self._connection.collect()

    def launch(self, **env: str) -> ServiceProcess:
        names = {"SHOP": self.name, "EVENTS_EXCHANGE": self.exchange}
        url = {"EVENTS_DATABASE_URL": self.url, "QUEUE_NAME": self.name}
        return self._launch(PROGRAM, **(names | url | env))

    def start(self, **env: str) -> ServiceProcess:
        # RabbitMQ lists the consumers of a process that has just ended for a moment.
        counts = [self.consumers]

        def consumes() -> bool:
            if not process.has_connected:
                return False
            counts.append(self.consumers)
            return counts[-1] > min(counts)

        process = self.launch(**env)
        wait_until(consumes, "it consumes")
        return process

    @property
    def consumers(self) -> int:
        """The least of its queues of events."""
        found = (
            self._rabbitmq.consumers(each.name, self._vhost)
            for each in (self.orders, self.plain)
        )
        return min(found)

    def publish(
        self,
        name: str,
        do: str = "",
        type: str = "shop.sold",
        id: str = "",
        traceparent: str | None = None,
    ) -> str:
        """Publish an event; returns its id."""
        data = {"name": name, "do": do, "notes": str(self.notes)}
        data["gate"] = str(self.gate)
        id = id or str(uuid.uuid4())
        body = event_json(
            id=id,
            source="/test",
            type=type,
            subject=name,
            time="2026-11-26T12:00:00+00:00",
            sequence=1,
            correlationid=f"request-{name}",
            actor="ada",
            traceparent=traceparent,
            data=json.dumps(data),
        )
        self.send(body.encode(), type)
        return id

    def send(self, body: bytes, type: str) -> None:
        message = amqp.Message(body, content_type=CONTENT_TYPE, delivery_mode=2)
        self._channel.basic_publish_confirm(message, self.exchange, type)

    def depth(self, queue: str) -> int:
        declared = self._channel.queue_declare(queue, passive=True)
        assert declared
        return int(declared[1])

    @property
    def tries(self) -> list[str]:
        """The names of the events, as the handlers were called with them."""
        return lines(self.notes)

    @property
    def effects(self) -> list[str]:
        """The names of the events with a committed effect, in order."""
        return [row[0] for row in self.query("SELECT event FROM effects ORDER BY at")]

    def query(self, statement: str) -> list[tuple[Any, ...]]:
        url = self.url.replace("+psycopg2", "")
        options = f"-csearch_path={self.name}"
        with closing(psycopg2.connect(url, options=options)) as connection:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute(statement)
                return cursor.fetchall() if cursor.description else []


@pytest.fixture
def shop(
    launch: Start, rabbitmq: RabbitMQ, vhost: str, database_url: str, tmp_path: Path
) -> Iterator[Shop]:
    shop = Shop(launch, rabbitmq, vhost, database_url, tmp_path)
    yield shop
    shop.close()


def settled(shop: Shop) -> Callable[[], bool]:
    """Whether nothing waits in its queues."""
    queues = [shop.orders.name, shop.orders.retry_queue, shop.plain.name]
    return lambda: not any(map(shop.depth, queues))


@pytest.mark.promise(
    "docs/EVENTS.md",
    "Services receive each event at least once, in the order of `sequence`.",
)
def test_each_subscription_gets_its_events_in_order(shop: Shop) -> None:
    process = shop.start(LOG_FORMAT="json")
    for number in range(20):
        shop.publish(f"{number}")
    shop.publish("plain", type="plain.of.two.words")
    shop.publish("alien", type="shop.of.two_words")
    wait_until(lambda: len(shop.effects) == 20, "the effects")
    wait_until(lambda: "plain" in shop.tries, "the other handler")
    assert shop.effects == [str(number) for number in range(20)]
    assert "alien" not in shop.tries
    wait_until(lambda: process.log.count("Handled an event") == 21, "the lines")
    found = [json.loads(line) for line in process.log.splitlines()]
    line = next(each for each in found if each.get("request_id") == "request-7")
    assert line["messaging.destination.name"] == shop.orders.name
    assert (line["outcome"], line["enduser.id"]) == ("ok", "ada")


@pytest.mark.promise("docs/EVENTS.md", "One that a handler fails on comes again later.")
def test_what_fails_is_tried_again_and_finally_dead_lettered(shop: Shop) -> None:
    process = shop.start()
    shop.publish("bad", "fail")
    shop.publish("unlucky", "fail_once")
    shop.publish("careless", "swallow")
    shop.publish("good")
    shop.publish("plain", "fail", type="plain.x")
    shop.send(b"{}", "shop.sold")
    dead, plain = shop.orders.dead_letter_queue, shop.plain.dead_letter_queue
    wait_until(lambda: shop.depth(dead) == 3 and shop.depth(plain) == 1, "dead letters")
    assert sorted(shop.effects) == ["good", "unlucky"]
    # Nobody waits for the one that is tried again.
    assert shop.tries.index("good") < shop.tries.index("bad", 2)
    counts = {name: shop.tries.count(name) for name in shop.tries}
    expected = {"bad": 3, "careless": 3, "plain": 3}
    assert counts == {"good": 1, "unlucky": 2, **expected}
    wait_until(
        lambda: "a statement failed, and the handler went on" in process.log,
        "it is logged",
    )
    wait_until(lambda: "Dead-lettered what is no event" in process.log, "it is logged")


@pytest.mark.promise(
    "SEQUENCE-DIAGRAMS.md",
    "killed before the ack: the event comes again, its id is known, nothing is "
    "done twice",
)
@pytest.mark.promise(
    "docs/EVENTS.md", "With the inbox of the chassis, each changes your data once."
)
def test_a_process_that_dies_after_the_commit_has_had_the_effect(shop: Shop) -> None:
    first = shop.start()
    shop.publish("once", "commit_and_die")
    assert first.wait() == 3
    second = shop.start()
    wait_until(lambda: "was received before" in second.log, "the redelivery")
    wait_until(settled(shop), "the acknowledgement")
    assert shop.effects == ["once"]
    assert shop.tries == ["once"]
    # The relay publishes at least once, and the ids outlive processes.
    id = shop.publish("twice")
    wait_until(lambda: "twice" in shop.effects, "the effect")
    second.signal(signal.SIGTERM)
    assert second.wait() == 0
    shop.publish("twice", id=id)
    third = shop.start()
    wait_until(lambda: "was received before" in third.log, "it is known")
    assert shop.effects == ["once", "twice"]


@pytest.mark.promise(
    "packages/chassis/README.md",
    "An event that ends the process ten times goes there too",
)
def test_an_event_that_ends_the_process_is_finally_dead_lettered(shop: Shop) -> None:
    first = shop.start()
    shop.publish("deadly", "die")
    shop.publish("innocent")
    assert first.wait() == 3
    dead = shop.orders.dead_letter_queue
    for _ in range(10):
        process = shop.launch()
        wait_until(lambda: process.has_ended or shop.effects, "it dies, or goes on")
        if shop.effects:
            break
    wait_until(lambda: shop.depth(dead) == 1, "the dead letter")
    assert shop.effects == ["innocent"]
    assert shop.tries.count("deadly") == 4  # the first delivery, and three returns


def test_a_handler_ends_on_sigterm_and_the_rest_stays(shop: Shop) -> None:
    process = shop.start()
    shop.publish("running", "wait_for_gate")
    shop.publish("waiting")
    wait_until(lambda: shop.tries == ["running"], "it runs")
    process.signal(signal.SIGTERM)
    wait_until(lambda: "Stopping" in process.log, "it drains")
    shop.gate.touch()
    assert process.wait() == 0
    assert shop.effects == ["running"]
    wait_until(lambda: shop.depth(shop.orders.name) == 1, "the other waits")
    assert "Traceback" not in process.log


def test_two_processes_share_the_work_one_at_a_time(shop: Shop) -> None:
    both = [shop.start(), shop.launch()]
    # RabbitMQ counts the active consumer only.
    ready = f"Connected to the queue {shop.orders.name}"
    wait_until(lambda: ready in both[1].log, "the other one stands by")
    shop.publish("first", "wait_for_gate")
    shop.publish("second")
    wait_until(lambda: shop.tries, "one of them works")
    shop.gate.touch()
    wait_until(lambda: shop.effects == ["first", "second"], "both effects")
    for number in range(10):
        shop.publish(f"{number}")
        if number == 5:
            both[0].kill()
    wait_until(lambda: len(shop.effects) == 12, "the other one takes over")
    names = [name for name in dict.fromkeys(shop.effects) if name.isdigit()]
    assert names == [str(number) for number in range(10)]


@pytest.mark.promise(
    "packages/chassis/README.md",
    "While PostgreSQL or a called service is away, the handler's event waits",
)
def test_nothing_is_lost_while_postgresql_is_away(
    shop: Shop, postgres: PostgreSQL, tmp_path: Path
) -> None:
    beat = tmp_path / "heartbeat"
    process = shop.start(HEARTBEAT_FILE=str(beat))
    assert beat.with_name("heartbeat.connected").exists()
    shop.publish("before")
    wait_until(lambda: "before" in shop.effects, "it works")
    postgres.kill()
    try:
        shop.publish("meanwhile")
        wait_until(lambda: "Lost PostgreSQL" in process.log, "it notices")
        used, began = process.cpu_seconds, beat.stat().st_mtime
        wait_until(lambda: beat.stat().st_mtime > began + 3, "the heart beats")
        assert process.cpu_seconds - used < 0.6
        # A service that starts now waits, and is not ready.
        late = shop.launch(HEARTBEAT_FILE=str(tmp_path / "late"))
        wait_until(lambda: "No connection to PostgreSQL" in late.log, "it waits")
        assert not (tmp_path / "late.connected").exists()
        assert process.log.count("PostgreSQL of") == 1
    finally:
        postgres.start()
    wait_until(lambda: shop.effects == ["before", "meanwhile"], "it goes on")
    wait_until((tmp_path / "late.connected").exists, "the late one is ready")
    assert shop.depth(shop.orders.dead_letter_queue) == 0
    assert "tried again" not in process.log


@pytest.mark.promise(
    "packages/chassis/README.md",
    "While PostgreSQL or a called service is away, the handler's event waits",
)
def test_a_service_that_is_away_costs_no_attempt(shop: Shop) -> None:
    process = shop.start()
    shop.publish("patient", "depend")
    shop.publish("next")
    wait_until(lambda: len(shop.tries) > 4, "it tries often")
    assert "next" not in shop.tries
    wait_until(
        lambda: "what the handler of shop.* calls" in process.log, "it is logged"
    )
    shop.gate.touch()
    wait_until(lambda: shop.effects == ["patient", "next"], "it goes on, in order")
    assert process.log.count("the other service is away") == 1


def test_nothing_is_lost_while_rabbitmq_is_away(shop: Shop, rabbitmq: RabbitMQ) -> None:
    process = shop.start()
    shop.publish("running", "wait_for_gate")
    wait_until(lambda: shop.tries, "it runs")
    rabbitmq.crash()
    try:
        shop.gate.touch()
        wait_until(lambda: "Lost the queue" in process.log, "it notices")
    finally:
        rabbitmq.start()
    wait_until(lambda: "after" in process.log, "it is back")
    wait_until(lambda: shop.effects == ["running"], "the effect")


def test_an_event_belongs_to_the_trace_of_what_happened(shop: Shop) -> None:
    with Receiver() as collector:
        process = shop.start(**exporting(collector, "http/protobuf"))
        id = shop.publish("sold", "fail_once", traceparent=f"00-{TRACE}-{SPAN}-01")
        wait_until(lambda: shop.effects, "the effect")
        process.signal(signal.SIGTERM)
        assert process.wait() == 0
        first, second = sorted(collector.trace(TRACE), key=lambda span: span.start)
        metrics = {each.name for each in collector.metrics}
    assert (first.failed, second.failed) == (True, False)
    for attempt, span in enumerate((first, second), start=1):
        assert (span.name, span.kind) == (f"process {shop.exchange}", "CONSUMER")
        assert (span.parent, span.service) == (SPAN, shop.name)
        own = span.attributes
        assert own["messaging.destination.name"] == shop.exchange
        assert own["messaging.destination.subscription.name"] == shop.orders.name
        assert own["messaging.message.id"] == id
        assert own["app.events.attempt"] == attempt
        assert own["enduser.id"] == "ada"
    assert {"messaging.process.duration", "app.events.delay"} <= metrics


def test_a_missing_url_ends_it_with_a_message(shop: Shop) -> None:
    for url, words in (("", "takes a cursor"), ("mysql://h", "write it as postgres")):
        process = shop.launch(EVENTS_DATABASE_URL=url)
        assert process.wait() == 1
        assert "EVENTS_DATABASE_URL: " in process.log and words in process.log
        assert "Traceback" not in process.log


def test_old_ids_are_forgotten(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    url = SecretStr(shop.url)
    monkeypatch.setattr(inbox, "PRUNE_SECONDS", 0)
    own = Inbox(ReceivedEventSettings(database_url=url), shop.name)
    own.prepare()
    own.prepare()
    change = "UPDATE received_events SET received_at = now() - make_interval(days => "
    for days in (29, 31):
        with own.receiving("queue", f"of-{days}") as cursor:
            cursor.execute(f"{change}{days}) WHERE event_id = 'of-{days}'")
    own.prune()
    assert shop.query("SELECT event_id FROM received_events") == [("of-29",)]
    own.close()
