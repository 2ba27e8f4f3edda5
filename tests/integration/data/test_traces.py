"""One trace through the whole system: its exact edges."""

import json
import os
import secrets
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
import pytest

from chassis import __version__
from local import apps
from local.otlp.model import Span
from local.servers.nginx import ACCESS_LOG
from local.servers.rabbitmq import RabbitMQ
from local.servers.redis import Redis
from tests.e2e.client import PROCESS, PROCESS_ASYNC, RECORDS, Api, wait_for
from tests.integration.conftest import EACH_PROTOCOL, Traced

SECRET = "a payload that nobody may log"

TASK = "app.tasks.data.process_data"

Edges = set[tuple[str, str]]

SERVER = f"api: POST {PROCESS}"
SERVER_ASYNC = f"api: POST {PROCESS_ASYNC}"
PUBLISH_TASK = f"api: apply_async/{TASK}"
RUN_TASK = f"worker: run/{TASK}"
HANDLE_EVENT = "watching: process events"

WATCHING = """
from chassis.events import Event, on
from chassis.service import serve


class WatchingService:
    @on("record.*")
    def watch(self, event: Event) -> None: ...


serve(WatchingService)
"""

SYNCHRONOUS: Edges = {
    ("caller", SERVER),
    (SERVER, "api: publish data_queue"),
    ("api: publish data_queue", "data: process data_queue"),
    (SERVER, "api: group commit"),
    ("api: group commit", "api: SQL"),
}
ASYNCHRONOUS: Edges = {
    ("caller", SERVER_ASYNC),
    (SERVER_ASYNC, "api: group commit"),
    ("api: group commit", "api: SQL"),
    (SERVER_ASYNC, PUBLISH_TASK),
    (PUBLISH_TASK, RUN_TASK),
    (RUN_TASK, "worker: publish data_queue"),
    ("worker: publish data_queue", "data: process data_queue"),
    (RUN_TASK, "worker: SQL"),
}


class Caller:
    """A trace that the test begins."""

    def __init__(self) -> None:
        self.trace = secrets.token_hex(16)
        self.span = secrets.token_hex(8)
        self.headers = {"traceparent": f"00-{self.trace}-{self.span}-01"}


def call(traced: Traced, path: str, **headers: str) -> tuple[Caller, Any]:
    caller = Caller()
    body = json.dumps({"payload": SECRET, "description": "reverse"}).encode()
    answer = traced.api.send(path, body, **caller.headers, **headers)
    assert answer.status_code in (200, 202), answer.text
    return caller, answer


def label(span: Span) -> str:
    sql = span.attributes.get("db.system.name") == "postgresql"
    return f"{span.service}: {'SQL' if sql else span.name}"


def edges(spans: list[Span], caller: Caller) -> Edges:
    """The edges without Redis commands, which depend on the connections, and without
    the team's services that receive events."""
    names = {span.id: label(span) for span in spans}
    names[caller.span] = "caller"
    return {
        (names.get(span.parent, "nobody"), label(span))
        for span in spans
        if span.attributes.get("db.system.name") != "redis"
        and (span.name != "process events" or label(span) == HANDLE_EVENT)
    }


def wait_edges(traced: Traced, caller: Caller, expected: Edges) -> list[Span]:
    """Wait until the trace is complete; it must have exactly these edges."""

    def complete(_: Any) -> list[Span]:
        spans = traced.receiver.trace(caller.trace)
        return spans if expected <= edges(spans, caller) else []

    try:
        spans: list[Span] = traced.receiver.wait(complete, "the whole trace")
    except AssertionError:
        assert edges(traced.receiver.trace(caller.trace), caller) == expected
        raise
    assert edges(spans, caller) == expected
    return spans


def only(spans: list[Span], name: str, service: str = "api") -> Span:
    (span,) = [s for s in spans if s.name == name and s.service == service]
    return span


def test_the_synchronous_path_is_one_trace(traced: Traced) -> None:
    caller, answer = call(traced, PROCESS, **{"X-Request-ID": "sync-1"})
    spans = wait_edges(traced, caller, SYNCHRONOUS)
    publish = only(spans, "publish data_queue")
    process = only(spans, "process data_queue", "data")
    assert (publish.kind, process.kind) == ("PRODUCER", "CONSUMER")
    task_id = answer.headers["Location"].rpartition("/")[2]
    for span in (publish, process):
        assert span.attributes["messaging.system"] == "rabbitmq"
        assert span.attributes["messaging.destination.name"] == "data_queue"
        assert span.attributes["app.request_id"] == "sync-1"
        assert span.attributes["app.task_id"] == task_id
    conversation = "messaging.message.conversation_id"
    assert publish.attributes[conversation] == process.attributes[conversation]
    assert 0 <= process.attributes["app.rpc.queue_time"] < 1
    assert process.attributes["app.rpc.delivery"] == 1
    server = only(spans, f"POST {PROCESS}")
    assert server.attributes["http.route"] == PROCESS
    assert server.start <= publish.start <= process.start
    assert process.end <= publish.end <= server.end


def test_the_asynchronous_path_is_one_trace(traced: Traced) -> None:
    caller, answer = call(traced, PROCESS_ASYNC, **{"X-Request-ID": "async-1"})
    spans = wait_edges(traced, caller, ASYNCHRONOUS)
    task_id = answer.json()["task_id"]
    publish = only(spans, f"apply_async/{TASK}")
    run = only(spans, f"run/{TASK}", "worker")
    assert (publish.kind, run.kind) == ("PRODUCER", "CONSUMER")
    assert run.attributes["messaging.message.id"] == task_id
    assert run.attributes["celery.state"] == "SUCCESS"


@pytest.fixture
def deliveries(rabbitmq: RabbitMQ) -> Iterator[Callable[[], dict[str, Any]]]:
    """The headers of the next request that RabbitMQ delivers to the data service."""
    rabbitmq.call("PUT", "vhosts/%2F", {"tracing": True})
    with rabbitmq.connect() as connection:
        channel = connection.channel()
        declared: Any = channel.queue_declare("", exclusive=True)
        queue = declared.queue
        channel.queue_bind(queue, "amq.rabbitmq.trace", "deliver.data_queue")

        def headers() -> dict[str, Any]:
            message: Any = wait_for(
                lambda: channel.basic_get(queue, no_ack=True), "a delivery"
            )
            found: dict[str, Any] = message.headers["properties"]["headers"]
            return found

        yield headers
    rabbitmq.call("PUT", "vhosts/%2F", {"tracing": False})


@pytest.mark.parametrize("path", [PROCESS, PROCESS_ASYNC])
def test_state_and_baggage_of_a_caller_reach_the_service(
    traced: Traced, deliveries: Callable[[], dict[str, Any]], path: str
) -> None:
    """Through the worker's task, if there is one."""
    sent = {"tracestate": "vendor=value", "baggage": "tenant=blue,plan=a%20b"}
    call(traced, path, **sent)
    found = deliveries()
    assert found["tracestate"] == sent["tracestate"]
    assert set(found["baggage"].split(",")) in (
        {"tenant=blue", "plan=a%20b"},
        {"tenant=blue", "plan=a+b"},
    )


def test_the_trace_is_whole_after_a_worker_child_was_replaced(traced: Traced) -> None:
    parent = psutil.Process(traced.stack.worker.pid)
    before = {child.pid for child in parent.children()}
    for child in before:
        os.kill(child, signal.SIGKILL)
    wait_for(
        lambda: len({c.pid for c in parent.children()} - before) >= len(before),
        "new children",
    )
    caller, _ = call(traced, PROCESS_ASYNC)
    wait_edges(traced, caller, ASYNCHRONOUS)


@pytest.mark.promise("ARCHITECTURE.md", "a task that the sweep republishes stays in it")
def test_lost_work_continues_its_trace(traced: Traced, redis_server: Redis) -> None:
    traced.stack.worker.stop()
    caller, _ = call(traced, PROCESS_ASYNC)
    redis_server.connect().flushall()
    traced.stack.worker.start()
    again = f"worker: apply_async/{TASK}"
    expected = (ASYNCHRONOUS - {(PUBLISH_TASK, RUN_TASK)}) | {
        (SERVER_ASYNC, again),
        (again, RUN_TASK),
    }
    wait_edges(traced, caller, expected)

    def counted(_: Any) -> bool:
        metrics = traced.receiver.metrics.copy()
        return any(
            point["attributes"].get("app.sweep.outcome") == "republished"
            for metric in metrics
            if metric.name == "app.sweep.lost_tasks"
            for point in metric.points
        )

    traced.receiver.wait(counted, "the sweep's count")


def test_a_refusal_is_not_a_failed_span(traced: Traced) -> None:
    caller = Caller()
    body = b'{"payload": [1, "a"], "description": "sort"}'
    answer = traced.api.send(PROCESS, body, **caller.headers)
    assert answer.status_code == 422
    spans = wait_edges(traced, caller, SYNCHRONOUS)
    for span in spans:
        assert not span.failed
        if "data_queue" in span.name:
            assert span.attributes["error.type"] == "unsortable_list"


def test_each_api_process_has_its_own_instance_id(traced: Traced) -> None:
    def send(_: int) -> None:
        api = Api(traced.stack.api_url)  # a new connection: any process may take it
        api.process(SECRET)
        api.close()

    def seen() -> bool:
        with ThreadPoolExecutor(16) as pool:
            list(pool.map(send, range(32)))
        spans = traced.receiver.spans.copy()
        return len({s.instance for s in spans if s.service == "api"}) == 2

    wait_for(seen, "spans of both processes")
    told = {
        (r["service.name"], r["process.pid"]): r["service.instance.id"]
        for r in traced.receiver.resources.copy()
    }
    assert len(set(told.values())) == len(told)
    for resource in traced.receiver.resources.copy():
        assert resource["deployment.environment"] == "development"
        assert resource["service.version"] == __version__


def test_a_group_commit_links_to_all_its_requests(traced: Traced) -> None:
    with ThreadPoolExecutor(16) as pool:
        calls = list(pool.map(lambda _: call(traced, PROCESS), range(60)))
    callers = {caller.trace for caller, _ in calls}

    def servers() -> dict[tuple[str, str], Span]:
        spans = traced.receiver.spans.copy()
        return {(s.trace, s.id): s for s in spans if s.kind == "SERVER"}

    def served(_: Any) -> list[Span] | None:
        spans = [s for s in traced.receiver.spans.copy() if s.name == "group commit"]
        found = {s.trace for s in spans} | {t for s in spans for t, _ in s.links}
        links = {link for s in spans if s.trace in callers for link in s.links}
        return spans if callers <= found and links <= servers().keys() else None

    commits = traced.receiver.wait(served, "the commits of all requests")
    commits = [s for s in commits if s.trace in callers]
    for commit in commits:
        assert commit.attributes["app.batch.size"] == 1 + len(commit.links)
        assert commit.kind == "INTERNAL"
    traces = [c.trace for c in commits] + [t for c in commits for t, _ in c.links]
    assert sorted(traces) == sorted(callers)  # each once
    assert any(c.links for c in commits), "requests came together"
    for commit in commits:
        for link in commit.links:
            assert servers()[link].links == [(commit.trace, commit.id)]


def test_a_trace_begins_at_the_gateway(traced: Traced) -> None:
    body = json.dumps({"payload": SECRET}).encode()
    answer = traced.api.send(PROCESS, body)
    request_id = answer.headers["X-Request-ID"]
    server = traced.receiver.wait(
        lambda receiver: [s for s in receiver.trace(request_id) if s.kind == "SERVER"],
        "a trace under the id of the request",
    )[0]
    gateway = traced.stack.nginx
    assert gateway
    # Other tests sent paths that are not UTF-8; nginx logs them as they came.
    log = gateway.state.log(ACCESS_LOG).read_bytes().decode(errors="replace")
    lines = log.splitlines()
    line = next(
        line for line in map(json.loads, lines) if line["trace_id"] == request_id
    )
    assert line["request_id"] == request_id
    assert server.parent == request_id[:16]
    # In milliseconds: 0.009 + 0.001 is less than 0.01.
    upstream, whole = (
        round(1000 * float(line[name])) for name in ("upstream_s", "duration_s")
    )
    assert 0 <= upstream <= whole + 1


@pytest.fixture
def watching(
    traced: Traced, rabbitmq: RabbitMQ, tmp_path: Path
) -> Iterator[apps.Service]:
    """A service that receives events; afterwards, nothing waits for it."""
    (tmp_path / "main.py").write_text(WATCHING)
    service = apps.service("watching", tmp_path, traced.state, traced.stack.env)
    service.start()
    yield service
    service.stop()
    rabbitmq.call("DELETE", "queues/%2F/watching.events.record.*")


def test_an_event_continues_the_trace_of_its_request(
    traced: Traced, watching: apps.Service
) -> None:
    """It is published and handled after the answer. The relay's span is of many."""
    caller, answer = call(traced, PROCESS)
    spans = wait_edges(traced, caller, {*SYNCHRONOUS, (SERVER, HANDLE_EVENT)})
    handled = only(spans, "process events", watching.name)
    assert handled.kind == "CONSUMER"
    task_id = answer.headers["Location"].rpartition("/")[2]
    assert handled.attributes["app.events.subject"] == task_id
    published = traced.receiver.wait(
        lambda receiver: [
            span
            for span in receiver.spans.copy()
            if (caller.trace, handled.parent) in span.links
        ],
        "the relay's span",
    )
    assert label(published[0]) == "event-relay: publish events"


@EACH_PROTOCOL
def test_log_lines_carry_the_ids_and_no_payload(traced: Traced) -> None:
    service = traced.stack.service("dataservice")
    service.pause()
    try:
        caller, answer = call(traced, PROCESS_ASYNC, **{"X-Request-ID": "logged-1"})
        task_id = answer.json()["task_id"]
        deleted = traced.api.http.delete(f"{RECORDS}/{task_id}")
        assert deleted.status_code == 204
    finally:
        service.resume()
    spans = wait_edges(traced, caller, ASYNCHRONOUS)
    run = only(spans, f"run/{TASK}", "worker")
    record = traced.receiver.wait(
        lambda receiver: [
            log
            for log in receiver.logs.copy()
            if log.span == run.id and "its record was deleted" in log.body
        ],
        "the worker's line by OTLP",
    )[0]
    assert record.trace == caller.trace
    assert record.attributes == {"request_id": "logged-1", "task_id": task_id}
    server = only(spans, f"POST {PROCESS_ASYNC}")
    for process, span in (("api", server), ("worker", run)):
        lines = traced.log(process).splitlines()
        mine = [json.loads(x) for x in lines if caller.trace in x]
        assert mine, process
        assert {line["span_id"] for line in mine} == {span.id}
        assert {line["request_id"] for line in mine} == {"logged-1"}
        assert {line["task_id"] for line in mine} == {task_id}
    ended = [line for line in mine if line["message"].startswith("Task ended")]
    assert len(ended) == 1 and ended[0]["outcome"] == "ok"
    told = [str(span.attributes) for span in traced.receiver.spans.copy()]
    told += [log.body for log in traced.receiver.logs.copy()]
    told += [traced.log(name) for name in ("api", "worker", "dataservice", "beat")]
    assert not [text for text in told if SECRET in text]
