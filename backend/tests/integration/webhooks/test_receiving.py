"""What a receiver gets, from the API through the worker, with real servers."""

import json
from threading import Thread
from typing import Any
from uuid import uuid4

import psycopg2
import pytest
from fastapi.testclient import TestClient
from sqlalchemy import text
from standardwebhooks import Webhook as Verifier

from app.core.locks import WEBHOOKS as WEBHOOKS_LOCK
from app.repositories import delivery_repository
from app.repositories.webhook_repository import IS_ANY_DUE
from app.services import webhook_rules
from app.tasks import webhooks
from app.tasks.resources import get_worker_resources
from chassis.events.event import CONTENT_TYPE
from chassis.events.event import Event as CloudEvent
from tests.counted import Counted
from tests.integration.hooks import Hook
from tests.integration.responder import wait_until
from tests.integration.webhooks.conftest import MOST
from tests.integration.webhooks.sending import WEBHOOKS, create, let_pass, run, sql


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


def test_of_those_that_are_due_the_oldest_is_sent_first(
    client: TestClient, hook: Hook
) -> None:
    hook.answer = lambda _: (500, {})
    webhook = create(client, hook)
    added = [webhook.happen() for _ in range(3)]
    run()
    hook.answer = lambda _: (204, {})
    for minutes, event_id in enumerate(reversed(added), start=1):
        due = f"next_attempt_at = now() - interval '{9 - minutes} minutes'"
        query = f"UPDATE webhook_deliveries SET {due} WHERE event_id = :id"
        sql(query, id=event_id)
    run()
    assert hook.ids() == [*added, *added]


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


def test_a_change_while_it_is_deleted_finds_none(
    client: TestClient, hook: Hook
) -> None:
    webhook = create(client, hook)
    answers: list[int] = []

    def send() -> None:
        answer = client.patch(webhook.path, json={"enabled": False})
        answers.append(answer.status_code)

    waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted"
    thread = Thread(target=send)
    with get_worker_resources().engine.begin() as other:
        other.execute(text("DELETE FROM webhooks"))
        thread.start()
        wait_until(lambda: bool(sql(waiting)[0][0] or answers))
    thread.join()
    assert answers == [404]


def test_deleting_it_stops_it(client: TestClient, hook: Hook) -> None:
    webhook = create(client, hook)
    webhook.happen()
    assert client.delete(webhook.path).status_code == 204
    run()
    assert not hook.requests
    assert client.get(webhook.path).status_code == 404
