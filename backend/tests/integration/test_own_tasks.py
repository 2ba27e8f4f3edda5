"""Tasks such as a team writes, run by a worker: `tests/own_tasks`."""

import json
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from celery import Celery
from fastapi import APIRouter
from fastapi.testclient import TestClient

from app.api.dependencies import TaskPublisherDep
from app.application import create_app
from app.core.config import Settings
from app.core.dependencies import call_service
from local.otlp.model import Span
from local.otlp.receiver import Receiver
from tests.integration.conftest import Start
from tests.integration.responder import Responder, wait_until

GREET = "app.tasks.greeting.greet"
SECRET = "a name that no log may have"


def said(log: Path, text: str) -> Callable[[], bool]:
    return lambda: text in log.read_text()


@pytest.mark.promise(
    "ARCHITECTURE.md", "Neither errors nor Celery's logs repeat what a client sent."
)
def test_one_asks_a_service_and_no_log_has_its_arguments(
    start: Start, celery: Celery, responder: Responder, redis: Any, log: Path
) -> None:
    celery.send_task(GREET, args=[SECRET])
    (message,) = redis.lrange("default", 0, -1)
    headers = json.loads(message)["headers"]
    assert (headers["argsrepr"], headers["kwargsrepr"]) == ("()", "{}")
    start("threads")
    wait_until(said(log, f"{GREET}[{headers['id']}] succeeded"), 30)
    assert responder.bodies() == [{"greet": SECRET}]
    # Both ends of the call name the task.
    sent = responder.requests[0].headers
    assert sent["x-request-id"] == headers["id"]
    assert SECRET not in log.read_text()


def test_an_endpoint_sends_one(
    start: Start, settings: Settings, responder: Responder, redis: Any, log: Path
) -> None:
    app = create_app(settings)
    router = APIRouter()

    @router.post("/greetings", status_code=202)
    async def greet(tasks: TaskPublisherDep) -> str:
        return await tasks.send(GREET, {"name": SECRET}, queue="high")

    app.include_router(router)
    with TestClient(app) as client:
        answer = client.post("/greetings")
    assert answer.status_code == 202, answer.text
    assert redis.llen("high") == 1
    start("threads")
    wait_until(said(log, f"{GREET}[{answer.json()}] succeeded"), 30)
    assert responder.bodies() == [{"greet": SECRET}]


@pytest.mark.usefixtures("worker")
def test_plain_code_of_a_task_may_ask_too(responder: Responder) -> None:
    assert call_service(responder.queue, {"greet": "all"}) == {"greet": "all"}


@pytest.mark.promise("docs/TASKS.md", "Other exceptions end the task.")
def test_what_may_pass_is_retried_some_times(
    start: Start, celery: Celery, responder: Responder, redis: Any, log: Path
) -> None:
    responder.before_reply = lambda _: False
    celery.send_task(GREET, args=[SECRET])
    start("threads", RPC_TIMEOUT_SECONDS="0.2", CELERY_TASK_MAX_RETRIES="2")
    wait_until(said(log, "raised unexpected: DeadlineExceeded"), 30)
    wait_until(lambda: not redis.hlen("unacked"))
    assert len(responder.requests) == 3
    assert SECRET not in log.read_text()


@pytest.mark.promise(
    "docs/TASKS.md", "The time limits of [the clocks](#the-clocks) apply to every task."
)
def test_one_that_runs_too_long_is_interrupted(
    start: Start, celery: Celery, redis: Any, log: Path
) -> None:
    celery.send_task("app.tasks.greeting.sleep_long")
    limits = {"CELERY_TASK_SOFT_TIME_LIMIT_SECONDS": "1"}
    start("prefork", **limits, CELERY_TASK_TIME_LIMIT_SECONDS="20")
    wait_until(said(log, "raised unexpected: SoftTimeLimitExceeded"), 30)
    wait_until(lambda: not redis.hlen("unacked"))


@pytest.mark.promise(
    "docs/TASKS.md", "A task's span is a child of the span that sent the task."
)
def test_it_is_part_of_the_trace_that_sent_it(
    start: Start, celery: Celery, responder: Responder
) -> None:
    trace, parent = secrets.token_hex(16), secrets.token_hex(8)
    celery.send_task(GREET, headers={"traceparent": f"00-{trace}-{parent}-01"})
    with Receiver() as receiver:
        start(
            "threads",
            OTEL_EXPORTER_OTLP_ENDPOINT=receiver.grpc_url,
            OTEL_BSP_SCHEDULE_DELAY="100",
            OTEL_METRICS_EXPORTER="none",
        )

        def spans() -> dict[str, Span]:
            return {s.name: s for s in receiver.spans if s.trace == trace}

        run, call = f"run/{GREET}", f"publish {responder.queue}"
        wait_until(lambda: {run, call} <= set(spans()), 30)
        assert spans()[run].parent == parent
        assert spans()[call].parent == spans()[run].id
