"""Runs of the worker: what each claims, and what they leave to others."""

from datetime import timedelta
from pathlib import Path
from threading import Event, Thread
from typing import Any
from uuid import uuid4

import pytest
from celery import Celery
from fastapi.testclient import TestClient
from sqlmodel import Session

from app.repositories import delivery_repository
from app.repositories.webhook_repository import claim_webhooks
from app.services import webhook_rules
from app.tasks import webhooks
from app.tasks.resources import get_worker_resources
from app.tasks.webhooks import prune_deliveries
from tests.integration.conftest import Start
from tests.integration.hooks import Hook
from tests.integration.responder import wait_until
from tests.integration.webhooks.conftest import SECONDS
from tests.integration.webhooks.sending import create, let_pass, run, sql


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


def test_more_than_enough_may_be_pending(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its owner may send failed ones again while others wait."""
    monkeypatch.setattr(webhooks, "PENDING", 2)
    hook = Hook()
    webhook = create(client, hook)
    with hook.running():
        hook.answer = lambda _: (500, {})
        expected = [webhook.happen() for _ in range(4)]
        run()
        sql("UPDATE webhook_deliveries SET status = 'failed'")
        let_pass(minutes=1)
        run()
        client.post(f"{webhook.path}/redeliver")
        run()
        assert hook.ids() == [*expected, *expected[:2]]
        hook.answer = lambda _: (204, {})
        let_pass(minutes=1)
        run()
    assert webhook.statuses() == ["delivered"] * 4


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
