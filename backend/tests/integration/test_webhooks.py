"""Webhooks from the API to the receiver: the runs of the worker, with real servers."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from threading import Event, Thread
from typing import Any
from uuid import uuid4

import psycopg2
import pytest
from celery import Celery
from fastapi.testclient import TestClient
from sqlalchemy import text
from sqlmodel import Session
from standardwebhooks import Webhook as Verifier

from app.application import create_app
from app.core.config import Settings
from app.core.locks import WEBHOOKS as WEBHOOKS_LOCK
from app.core.webhook_settings import WebhookSettings
from app.repositories import delivery_repository
from app.repositories.webhook_repository import IS_ANY_DUE, claim_webhooks
from app.services import webhook_rules
from app.tasks import webhooks
from app.tasks.resources import get_worker_resources
from app.tasks.webhooks import prune_deliveries, send_webhooks
from chassis.events.event import CONTENT_TYPE
from chassis.events.event import Event as CloudEvent
from tests.counted import Counted
from tests.integration.conftest import Start
from tests.integration.hooks import Hook
from tests.integration.responder import wait_until

WEBHOOKS = "/api/v1/webhooks"
MOST = 8
SECONDS = 4  # of an attempt


@pytest.fixture
def settings(settings: Settings) -> Settings:
    own = WebhookSettings(
        allowed_networks="127.0.0.0/8",
        timeout_seconds=SECONDS,
        max_body_bytes=2048,
        max_per_owner=MOST,
    )
    return settings.model_copy(update={"webhooks": own})


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """A run completes what is due, on a busy machine too."""
    monkeypatch.setattr(webhooks, "RUN_SECONDS", 60.0)


@pytest.fixture
def hook() -> Iterator[Hook]:
    with Hook().running() as hook:
        yield hook


@pytest.fixture
def client(settings: Settings, worker: Celery) -> Iterator[TestClient]:
    with TestClient(create_app(settings)) as client:
        yield client
        sql("DELETE FROM webhooks")


@dataclass
class Webhook:
    """One of the API, for events of a type that only its test has."""

    client: TestClient
    type: str
    content: dict[str, Any]

    @property
    def path(self) -> str:
        return f"{WEBHOOKS}/{self.content['id']}"

    def read(self) -> dict[str, Any]:
        found: dict[str, Any] = self.client.get(self.path).json()
        return found

    def change(self, **content: Any) -> None:
        answer = self.client.patch(self.path, json=content)
        assert answer.status_code == 200, answer.text

    def deliveries(self) -> list[dict[str, Any]]:
        """The oldest first."""
        found: list[dict[str, Any]] = self.client.get(f"{self.path}/deliveries").json()
        return found[::-1]

    def statuses(self) -> list[str]:
        return [delivery["status"] for delivery in self.deliveries()]

    def happen(
        self, data: Any = None, kind: str = "one", owner: str | None = None
    ) -> str:
        """Add an event; returns its id."""
        query = """INSERT INTO record_events (type, subject, owner, data)
        VALUES (:type, 'it', :owner, :data) RETURNING event_id"""
        values = {"type": f"{self.type}.{kind}", "data": json.dumps(data)}
        return str(sql(query, owner=owner, **values)[0][0])


def create(client: TestClient, hook: Hook, **more: Any) -> Webhook:
    kind = f"t{uuid4().hex}"
    content = {"url": hook.url("/hook"), "types": [f"{kind}.*"], **more}
    answer = client.post(WEBHOOKS, json=content)
    assert answer.status_code == 201, answer.text
    return Webhook(client, kind, answer.json())


def sql(statement: str, **values: Any) -> Any:
    with get_worker_resources().engine.begin() as connection:
        found = connection.execute(text(statement), values)
        return found.all() if found.returns_rows else None


def run() -> None:
    send_webhooks.apply(throw=True)


def let_pass(**time: float) -> None:
    """As if that time had passed for every webhook."""
    for table, columns in (
        ("webhooks", ("resume_at", "failing_since", "previous_secret_until")),
        ("webhook_deliveries", ("first_attempt_at", "next_attempt_at")),
    ):
        earlier = ", ".join(f"{column} = {column} - :time" for column in columns)
        sql(f"UPDATE {table} SET {earlier}", time=timedelta(**time))


def test_an_event_arrives_signed(client: TestClient, hook: Hook) -> None:
    webhook = create(client, hook)
    event_id = webhook.happen({"a": 1.50, "b": "ü"})
    webhook.happen(kind="two.words")  # the pattern has one
    run()
    (request,) = hook.requests
    assert request.path == "/hook" and request.id == event_id
    assert request.headers["content-type"] == CONTENT_TYPE
    Verifier(webhook.content["secret"]).verify(request.body, request.headers)
    event = CloudEvent.parse(request.body)
    assert (event.id, event.data) == (event_id, {"a": 1.50, "b": "ü"})
    (delivery,) = webhook.deliveries()
    assert (delivery["status"], delivery["attempts"]) == ("delivered", 1)
    assert (delivery["event_id"], delivery["last_status"]) == (event_id, 204)
    assert delivery["next_attempt_at"] is None
    run()
    assert len(hook.requests) == 1


@pytest.mark.promise("docs/WEBHOOKS.md", "Requests begin in the order of `sequence`")
def test_events_arrive_in_their_order_and_once(client: TestClient, hook: Hook) -> None:
    webhook = create(client, hook)
    expected = [webhook.happen() for _ in range(webhooks.EVENTS_AT_ONCE + 5)]
    run()
    assert hook.ids() == expected


@pytest.mark.promise(
    "docs/WEBHOOKS.md", "A webhook gets the events of its owner alone."
)
def test_it_gets_the_events_of_its_owner_alone(client: TestClient, hook: Hook) -> None:
    webhook = create(client, hook)
    sql("UPDATE webhooks SET events_of = 'bob'")
    events = [webhook.happen(owner=owner) for owner in ("alice", "bob", "carol", None)]
    run()
    assert hook.ids() == [events[1]]
    last = webhook.happen(owner="bob")
    run()
    assert hook.ids() == [events[1], last]


def test_it_reads_only_the_events_of_its_owner(client: TestClient, hook: Hook) -> None:
    """Not all those of busy ones, each second."""
    create(client, hook)
    sql("UPDATE webhooks SET events_of = 'quiet'")
    busy = """INSERT INTO record_events (type, subject, owner, data)
    SELECT 'a.b', 'it', 'busy', '1' FROM generate_series(1, 5000)"""
    for _ in range(4):
        sql(busy)
    sql("ANALYZE record_events")
    plan = sql(f"EXPLAIN {IS_ANY_DUE.text}", pending=1000)
    lines = [row[0] for row in plan if " on record_events" in row[0]]
    scans = [line for line in lines if "ix_record_events_owner" in line]
    assert scans and not [line for line in lines if "Seq Scan" in line], plan


@pytest.mark.promise("docs/WEBHOOKS.md", "Events begin with the webhook.")
def test_none_is_from_before_the_webhook(
    client: TestClient, hook: Hook, migrated_url: str
) -> None:
    """Even if it was not settled yet; and one that commits later is not skipped."""
    kind = f"t{uuid4().hex}"
    insert = "INSERT INTO record_events (type, subject, data) VALUES (%s, 'it', '1')"
    url = migrated_url.replace("postgresql+psycopg2", "postgresql")
    open_transaction, other = psycopg2.connect(url), psycopg2.connect(url)
    open_transaction.cursor().execute("SELECT pg_current_xact_id()")
    with other, other.cursor() as cursor:
        cursor.execute(insert, [f"{kind}.before"])
    webhook = create(client, hook, types=[f"{kind}.*"])
    with other, other.cursor() as cursor:
        cursor.execute(insert, [f"{kind}.after"])
    run()
    assert not hook.requests  # nothing is settled
    open_transaction.rollback()
    run()
    assert [d["type"] for d in webhook.deliveries()] == [f"{kind}.after"]
    open_transaction.close()
    other.close()


@pytest.mark.promise("docs/WEBHOOKS.md", "No event is lost.")
def test_a_receiver_that_is_down_loses_nothing(client: TestClient) -> None:
    hook = Hook()
    webhook = create(client, hook)
    expected = [webhook.happen() for _ in range(3)]
    run()
    first, *others = webhook.deliveries()
    assert first["attempts"] == 1 and "refuses" in first["last_error"]
    # The others wait: they would fail too.
    assert [each["attempts"] for each in others] == [0, 0]
    assert webhook.read()["failing_since"] is not None
    with hook.running():
        run()
        assert not hook.requests  # it is not time yet
        let_pass(seconds=webhook_rules.FIRST_DELAY * 2)
        run()
    assert hook.ids() == expected
    assert webhook.statuses() == ["delivered"] * 3
    assert webhook.read()["failing_since"] is None


@pytest.mark.promise("docs/WEBHOOKS.md", "only this event waits")
def test_an_event_that_fails_does_not_hold_up_others(
    client: TestClient, hook: Hook, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted = Counted()
    monkeypatch.setattr(webhooks, "_attempts", counted)
    webhook = create(client, hook)
    bad, good = webhook.happen(), webhook.happen()
    hook.answer = lambda request: (500 if request.id == bad else 200, {})
    run()
    assert hook.ids() == [bad, good]
    assert webhook.statuses() == ["pending", "delivered"]
    let_pass(hours=25)
    webhook.happen()
    sql("UPDATE webhooks SET failing_since = NULL")
    run()
    assert webhook.statuses() == ["failed", "delivered", "delivered"]
    assert webhook.read()["disabled_at"] is None
    hook.answer = lambda _: (200, {})
    answer = client.post(f"{webhook.path}/redeliver")
    assert answer.json() == {"deliveries": 1}
    run()
    assert hook.ids()[-1] == bad and webhook.statuses() == ["delivered"] * 3
    assert counted.numbers == {
        "app.webhooks.outcome=retried": 1,
        "app.webhooks.outcome=failed": 1,
        "app.webhooks.outcome=delivered": 3,
    }


def test_an_event_that_is_sent_again_has_all_its_time(
    client: TestClient, hook: Hook
) -> None:
    hook.answer = lambda _: (500, {})
    webhook = create(client, hook)
    webhook.happen()
    run()
    let_pass(hours=25)
    sql("UPDATE webhooks SET failing_since = NULL")
    run()
    assert webhook.statuses() == ["failed"]
    client.post(f"{webhook.path}/redeliver")
    run()
    assert webhook.statuses() == ["pending"] and len(hook.requests) == 3


def test_the_oldest_are_sent_again_first(
    client: TestClient, hook: Hook, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivery_repository, "REDELIVER_AT_ONCE", 1)
    hook.answer = lambda _: (500, {})
    webhook = create(client, hook)
    webhook.happen()
    webhook.happen()
    run()
    sql("UPDATE webhook_deliveries SET status = 'failed'")
    answer = client.post(f"{webhook.path}/redeliver")
    assert answer.json() == {"deliveries": 1}
    assert webhook.statuses() == ["pending", "failed"]


@pytest.mark.promise("docs/WEBHOOKS.md", "A disabled webhook loses nothing.")
@pytest.mark.budget("WEBHOOKS_GIVE_UP_DAYS")
def test_lasting_failure_disables_it_and_enabling_resumes(
    client: TestClient,
    hook: Hook,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    disabled = Counted()
    monkeypatch.setattr(webhooks, "_disabled", disabled)
    hook.answer = lambda _: (500, {})
    webhook = create(client, hook)
    expected = webhook.happen()
    run()
    let_pass(hours=23.9)
    run()
    assert webhook.read()["disabled_at"] is None
    let_pass(hours=1)
    run()
    found = webhook.read()
    assert found["disabled_at"] and "24 hours" in found["disabled_reason"]
    assert f"Webhook {found['id']}, host 127.0.0.1, is disabled" in caplog.text
    assert webhook.statuses() == ["pending"]
    later = webhook.happen()
    let_pass(hours=24)
    run()
    assert len(hook.requests) == 3
    hook.answer = lambda _: (200, {})
    webhook.change(enabled=True)
    run()
    assert hook.ids()[3:] == [expected, later]
    assert webhook.read()["disabled_reason"] is None
    assert disabled.numbers.total() == 1


@pytest.mark.promise("docs/WEBHOOKS.md", "410 disables it at once.")
def test_410_disables_at_once(client: TestClient, hook: Hook) -> None:
    hook.answer = lambda _: (410, {})
    webhook = create(client, hook)
    webhook.happen()
    webhook.happen()
    run()
    assert len(hook.requests) == 1
    assert "410" in webhook.read()["disabled_reason"]


def test_its_owner_pauses_it(client: TestClient, hook: Hook) -> None:
    webhook = create(client, hook)
    webhook.change(enabled=False)
    missed = webhook.happen()
    run()
    assert not hook.requests and "owner" in webhook.read()["disabled_reason"]
    webhook.change(enabled=True)
    run()
    assert hook.ids() == [missed]


@pytest.mark.parametrize(
    "change", ["disabled_at", "leased_until", "leased_by = gen_random_uuid(), host"]
)
def test_a_run_ends_with_its_claim(client: TestClient, hook: Hook, change: str) -> None:
    """Also what is due already waits, and it reads no more of the log."""
    webhook = create(client, hook)
    first, second = webhook.happen(), webhook.happen()
    others: list[str] = []

    def end(_: Any) -> Any:
        value = "'other'" if change.endswith("host") else "now()"
        sql(f"UPDATE webhooks SET {change} = {value}")
        others.append(webhook.happen())
        return 204, {}

    hook.answer = end
    run()
    assert hook.ids() == [first]
    assert webhook.statuses() == ["delivered", "pending"]
    hook.answer = lambda _: (204, {})
    sql("UPDATE webhooks SET leased_until = now()")
    webhook.change(enabled=True)
    run()
    assert hook.ids() == [first, second, *others]


def test_a_bug_with_one_webhook_stops_no_other(
    client: TestClient, hook: Hook, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad, good = create(client, hook), create(client, hook)
    bad.happen()
    expected = good.happen()
    headers_of, failed = webhook_rules.headers_of, Event()
    hook.answer = lambda _: (204 if failed.wait(10) else 500, {})

    def fail(webhook: Any, *values: Any) -> Any:
        if webhook.id == bad.content["id"]:
            failed.set()
            raise LookupError("a bug")
        return headers_of(webhook, *values)

    monkeypatch.setattr(webhook_rules, "headers_of", fail)
    with pytest.raises(LookupError):
        run()
    assert hook.ids() == [expected] and good.statuses() == ["delivered"]


@pytest.mark.promise(
    "docs/WEBHOOKS.md",
    "For 24 hours, each request has two signatures, one with each secret.",
)
def test_a_new_secret_signs_beside_the_old_one(client: TestClient, hook: Hook) -> None:
    webhook = create(client, hook)
    old, new = webhook.content["secret"], "whsec_" + "MfKQ9r8G" * 4
    webhook.change(secret=new)
    webhook.happen()
    run()
    (request,) = hook.requests
    for secret in (old, new):
        Verifier(secret).verify(request.body, request.headers)
    let_pass(hours=24.1)
    webhook.happen()
    run()
    request = hook.requests[-1]
    Verifier(new).verify(request.body, request.headers)
    assert " " not in request.headers["webhook-signature"]


@pytest.mark.promise("docs/WEBHOOKS.md", "No other response shows it: store it now.")
def test_a_secret_is_shown_once_and_stored_in_no_redis(
    client: TestClient, hook: Hook, redis: Any
) -> None:
    content = {"url": hook.url(), "types": ["a.b"]}
    key = {"Idempotency-Key": str(uuid4())}
    first = client.post(WEBHOOKS, json=content, headers=key)
    secret = first.json()["secret"]
    assert secret.startswith("whsec_")
    (name,) = [name for name in redis.scan_iter() if redis.type(name) == b"string"]
    assert secret.encode() not in redis.get(name)
    again = client.post(WEBHOOKS, json=content, headers=key)
    assert again.status_code == 201 and again.headers["Idempotency-Replayed"] == "true"
    assert again.json() == {**first.json(), "secret": None}
    for path in (WEBHOOKS, first.headers["Location"]):
        assert secret not in client.get(path).text


@pytest.mark.budget("webhooks.PENDING")
def test_events_beyond_enough_pending_ones_wait_in_the_log(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhooks, "PENDING", 3)
    hook = Hook()
    webhook = create(client, hook)
    expected = [webhook.happen() for _ in range(4)]
    with hook.running():
        hook.answer = lambda _: (500, {})  # each one fails, and the run goes on
        run()
        assert hook.ids() == expected[:3]
        hook.answer = lambda _: (204, {})
        let_pass(minutes=1)
        run()
        assert hook.ids()[3:] == expected


@pytest.mark.promise(
    "docs/WEBHOOKS.md",
    "An event above 256 KiB (`WEBHOOKS_MAX_BODY_BYTES`) has no `data`.",
)
@pytest.mark.budget("WEBHOOKS_MAX_BODY_BYTES")
def test_a_long_event_is_sent_as_a_reference(client: TestClient, hook: Hook) -> None:
    webhook = create(client, hook)
    webhook.happen("x")
    run()
    room = 2048 - len(hook.requests[0].body)
    webhook.happen("x" * (room + 1))
    webhook.happen("x" * (room + 2))
    run()
    longest, reference = (json.loads(each.body) for each in hook.requests[1:])
    assert len(longest["data"]) == room + 1
    assert "data" not in reference
    before = int(reference["sequence"]) - 1
    assert reference["dataref"] == f"/api/v1/events?after={before}&limit=1"
    (whole,) = client.get(reference["dataref"]).json()
    assert whole["id"] == reference["id"] and len(whole["data"]) == room + 2


@pytest.mark.promise("docs/WEBHOOKS.md", "A deleted record is not sent.")
def test_what_was_deleted_meanwhile_is_not_sent(client: TestClient) -> None:
    hook, task_id = Hook(), str(uuid4())
    create(client, hook, types=["record.*"])
    sql(
        """INSERT INTO data_processing_records (task_id, task_status, payload)
        VALUES (:id, 'Success', '"my secret"')""",
        id=task_id,
    )
    run()
    sql("DELETE FROM data_processing_records WHERE task_id = :id", id=task_id)
    with hook.running():
        let_pass(minutes=1)
        run()
    sent = [json.loads(request.body) for request in hook.requests]
    of_record = [event for event in sent if event["subject"] == task_id]
    assert [e["type"] for e in of_record] == ["record.succeeded", "record.deleted"]
    assert of_record[0]["data"]["payload"] is None


def test_an_event_that_was_pruned_fails(client: TestClient) -> None:
    hook = Hook()
    webhook = create(client, hook)
    webhook.happen()
    run()
    sql(
        """SELECT set_config('events.maintenance', 'on', true);
        DELETE FROM record_events WHERE type LIKE :type""",
        type=f"{webhook.type}%",
    )
    let_pass(minutes=1)
    with hook.running():
        run()
    (delivery,) = webhook.deliveries()
    assert delivery["status"] == "failed" and not hook.requests
    assert delivery["last_error"] == "The event is no longer in the log."


def test_a_slow_receiver_delays_no_other(client: TestClient, hook: Hook) -> None:
    slow, free = Hook(), Event()

    def wait(_: Any) -> Any:
        free.wait(30)
        return 200, {}

    slow.answer = wait
    with slow.running():
        waiting = create(client, slow)
        waiting.happen()
        webhook = create(client, hook)
        expected = webhook.happen()
        thread = Thread(target=run)
        thread.start()
        wait_until(lambda: hook.ids() == [expected])
        wait_until(lambda: len(slow.requests) == 1)
        assert waiting.statuses() == ["pending"]
        thread.join()
        (delivery,) = waiting.deliveries()
        assert delivery["last_error"] == f"There was no answer within {SECONDS} s."
        free.set()


@pytest.mark.budget("webhooks.SENDERS", "webhooks.PER_HOST", "webhooks.AT_ONCE")
@pytest.mark.parametrize(
    ("limit", "value", "most"), [("PER_HOST", 1, 1), ("AT_ONCE", 2, 2), ("x", 0, 3)]
)
def test_claims_are_bounded(
    client: TestClient,
    monkeypatch: pytest.MonkeyPatch,
    limit: str,
    value: int,
    most: int,
) -> None:
    monkeypatch.setattr(webhooks, limit, value, raising=False)
    free, hook = Event(), Hook()
    hook.answer = lambda _: (200 if free.wait(30) else 500, {})
    with hook.running():
        for _ in range(3):
            create(client, hook).happen()
        runs = [Thread(target=run) for _ in range(webhooks.SENDERS)]
        for each in runs:
            each.start()
        expected = most * (webhooks.SENDERS if limit == "AT_ONCE" else 1)
        wait_until(lambda: len(hook.requests) == min(expected, 3))
        held = sql("SELECT count(*) FROM webhooks WHERE leased_until > now()")
        assert held[0][0] == min(expected, 3)
        free.set()
        for each in runs:
            each.join()


def claim(**limits: int) -> list[int]:
    """Webhooks for a run of its own."""
    most = dict.fromkeys(("senders", "at_once", "per_host", "pending"), 9) | limits
    with Session(get_worker_resources().engine) as session:
        found = claim_webhooks(session, uuid4(), timedelta(minutes=1), **most)
        session.commit()
    return found


def test_those_that_have_waited_longest_come_first(
    client: TestClient, hook: Hook
) -> None:
    waiting = [create(client, hook) for _ in range(3)]
    for minutes, webhook in enumerate(waiting[:2], 1):
        sql(
            "UPDATE webhooks SET leased_until = now() - :age WHERE id = :id",
            age=timedelta(minutes=minutes),
            id=webhook.content["id"],
        )
    for webhook in waiting:
        webhook.happen()
    claimed = [claim(at_once=1) for _ in waiting]
    assert claimed == [[webhook.content["id"]] for webhook in waiting[::-1]]


@pytest.mark.budget("webhooks.PER_HOST")
def test_a_host_has_its_share_of_all_runs(client: TestClient, hook: Hook) -> None:
    for _ in range(3):
        create(client, hook).happen()
    assert len(claim(per_host=2)) == 2
    assert claim(per_host=2) == []
    assert len(claim(per_host=3)) == 1


def test_an_attempt_is_noted_by_one_process_at_a_time(
    client: TestClient, hook: Hook
) -> None:
    webhook = create(client, hook)
    hook.answer = lambda _: (500, {})
    webhook.happen()
    run()
    (delivery,) = webhook.deliveries()
    with Session(get_worker_resources().engine) as session:
        assert delivery_repository.lock_delivery(session, delivery["id"])
        for table in ("webhooks", "webhook_deliveries"):
            assert sql(f"SELECT FROM {table} FOR UPDATE SKIP LOCKED") == []


def test_no_more_runs_than_senders(client: TestClient, hook: Hook) -> None:
    for _ in range(webhooks.SENDERS):
        create(client, hook)
        sql("""UPDATE webhooks SET leased_by = gen_random_uuid(),
            leased_until = now() + interval '1 minute' WHERE leased_by IS NULL""")
    webhook = create(client, hook)
    expected = webhook.happen()
    run()
    assert not hook.requests
    # A worker was killed: its lease ends.
    sql("UPDATE webhooks SET leased_until = now() WHERE leased_by IS NOT NULL")
    run()
    assert hook.ids() == [expected]


def test_two_runs_send_once(client: TestClient, hook: Hook) -> None:
    created = [create(client, hook) for _ in range(3)]
    expected = [webhook.happen() for webhook in created for _ in range(5)]
    runs = [Thread(target=run) for _ in range(4)]
    for each in runs:
        each.start()
    for each in runs:
        each.join()
    run()
    assert sorted(hook.ids()) == sorted(expected)


@pytest.mark.promise("docs/WEBHOOKS.md", "No event is lost.")
def test_a_worker_that_is_killed_sends_it_again(
    client: TestClient, hook: Hook, celery: Celery, start: Start, log: Path
) -> None:
    """Between the receiver's answer and the mark in the database."""
    webhook = create(client, hook)
    expected = webhook.happen()
    free = Event()
    hook.answer = lambda _: (200 if free.wait(30) else 500, {})
    celery.send_task("app.tasks.webhooks.send_webhooks", queue="high")
    killed = start("threads", WEBHOOKS_ALLOWED_NETWORKS="127.0.0.1")
    wait_until(lambda: hook.ids() == [expected], 30)
    # A line each second would hide the others.
    assert "send_webhooks[" not in log.read_text()
    killed.kill()
    killed.wait()
    free.set()
    run()
    assert webhook.statuses() == ["pending"]  # it has a lease, which ends by itself
    (lease,) = sql("SELECT leased_until - now() FROM webhooks")
    assert timedelta() < lease[0] <= timedelta(seconds=30)
    sql("UPDATE webhooks SET leased_until = now()")
    run()
    assert hook.ids() == [expected, expected]
    assert webhook.statuses() == ["delivered"]


def test_what_another_run_has_done_stays(client: TestClient, hook: Hook) -> None:
    """The lease has ended meanwhile, and another run has the webhook."""
    webhook = create(client, hook)
    webhook.happen()

    def lose(_: Any) -> Any:
        sql("UPDATE webhooks SET leased_by = gen_random_uuid()")
        sql("""UPDATE webhook_deliveries
            SET status = 'delivered', attempts = 1, next_attempt_at = NULL""")
        return 500, {}

    hook.answer = lose
    run()
    (delivery,) = webhook.deliveries()
    assert (delivery["status"], delivery["attempts"]) == ("delivered", 1)
    assert delivery["last_error"] is None and delivery["next_attempt_at"] is None
    (row,) = sql("SELECT leased_by IS NOT NULL, leased_until > now() FROM webhooks")
    assert tuple(row) == (True, True)


def test_no_log_line_has_the_url(
    client: TestClient, hook: Hook, caplog: pytest.LogCaptureFixture
) -> None:
    """With some receivers, whoever knows it may send."""
    caplog.set_level("INFO", "app.tasks.webhooks")
    hook.answer = lambda _: (410, {})
    webhook = create(client, hook, url=hook.url("/hook/secret"))
    webhook.happen()
    run()
    text = f"Webhook {webhook.content['id']}, host 127.0.0.1"
    assert f"{text}: event" in caplog.text and f"{text}, is disabled" in caplog.text
    assert "secret" not in caplog.text


@pytest.mark.budget("WEBHOOKS_MAX_PER_OWNER")
def test_requests_of_one_owner_wait_for_each_other(
    client: TestClient, hook: Hook
) -> None:
    """Otherwise two at a time could exceed the number."""
    for _ in range(MOST - 1):
        create(client, hook)
    content = {"url": hook.url(), "types": ["a.b"]}
    answers: list[int] = []

    def send() -> None:
        answers.append(client.post(WEBHOOKS, json=content).status_code)

    waiting = """SELECT count(*) FROM pg_locks
        WHERE locktype = 'advisory' AND NOT granted"""
    with get_worker_resources().engine.begin() as first:
        lock = "SELECT pg_advisory_xact_lock(hashtextextended('', :lock))"
        first.execute(text(lock), {"lock": WEBHOOKS_LOCK})
        thread = Thread(target=send)
        thread.start()
        wait_until(lambda: bool(sql(waiting)[0][0] or answers))
        first.execute(text("""INSERT INTO webhooks (url, host, types, secret, position)
            SELECT url, host, types, secret, position FROM webhooks LIMIT 1"""))
    thread.join()
    assert answers == [409]


@pytest.mark.budget("WEBHOOKS_MAX_PER_OWNER")
def test_an_owner_has_a_number_of_webhooks(client: TestClient, hook: Hook) -> None:
    for _ in range(MOST):
        create(client, hook)
    content = {"url": hook.url(), "types": ["a.b"]}
    answer = client.post(WEBHOOKS, json=content)
    assert (answer.status_code, answer.json()["code"]) == (409, "too_many_webhooks")
    newest = client.get(WEBHOOKS).json()[0]["id"]
    client.delete(f"{WEBHOOKS}/{newest}")
    assert client.post(WEBHOOKS, json=content).status_code == 201


@pytest.mark.parametrize(
    "url", ["https://10.0.0.1/", "https://user@example.com/", "https://167772161/"]
)
def test_a_url_that_is_refused(client: TestClient, hook: Hook, url: str) -> None:
    answer = client.post(WEBHOOKS, json={"url": url, "types": ["a.b"]})
    assert (answer.status_code, answer.json()["code"]) == (422, "webhook_url_refused")
    assert "address: private" in answer.text or "user" in answer.text
    webhook = create(client, hook)
    assert client.patch(webhook.path, json={"url": url}).status_code == 422
    assert webhook.read()["url"] == hook.url("/hook")


@pytest.mark.budget("WEBHOOKS_RETENTION_DAYS")
def test_old_deliveries_are_deleted(client: TestClient, hook: Hook) -> None:
    webhook = create(client, hook)
    webhook.happen()
    run()
    age = "UPDATE webhook_deliveries SET created_at = now() - interval '1 day' * :days"
    sql(age, days=6.9)
    prune_deliveries.apply(throw=True)
    assert len(webhook.deliveries()) == 1
    sql(age, days=7.1)
    prune_deliveries.apply(throw=True)
    assert webhook.deliveries() == []


def test_what_waits_is_not_too_old(client: TestClient, hook: Hook) -> None:
    """A webhook may be disabled for longer, and loses nothing."""
    hook.answer = lambda _: (500, {})
    webhook = create(client, hook)
    webhook.happen()
    run()
    sql("UPDATE webhook_deliveries SET created_at = now() - interval '30 days'")
    prune_deliveries.apply(throw=True)
    assert webhook.statuses() == ["pending"]


@pytest.mark.promise(
    "docs/WEBHOOKS.md", "Without webhooks, it costs one small query per second."
)
def test_nothing_to_send_is_one_query(client: TestClient, hook: Hook) -> None:
    create(client, hook)
    run()
    (row,) = sql("SELECT leased_until FROM webhooks")
    assert row[0] is None, "it was claimed for nothing"


def test_deleting_it_stops_it(client: TestClient, hook: Hook) -> None:
    webhook = create(client, hook)
    webhook.happen()
    assert client.delete(webhook.path).status_code == 204
    run()
    assert not hook.requests
    assert client.get(webhook.path).status_code == 404
