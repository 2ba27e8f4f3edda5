"""Metrics and their units, as they arrive; and a collector that does not answer."""

import json
import statistics
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psutil
import pytest

from tests.e2e.client import PROCESS, PROCESS_ASYNC
from tests.integration.conftest import Traced
from tests.integration.test_traces import call

# Name, unit and kind, by the process that reports it.
EXPECTED = {
    "api": {
        ("http.server.request.duration", "s", "histogram"),
        ("http.server.active_requests", "{request}", "sum"),
        ("rpc.client.call.duration", "s", "histogram"),
        ("rpc.client.active_calls", "{call}", "sum"),
        ("messaging.client.operation.duration", "s", "histogram"),
        ("app.group_commit.batch.size", "{request}", "histogram"),
        ("app.idempotency.requests", "{request}", "sum"),
        ("app.event_loop.lag", "s", "histogram"),
        ("db.client.connection.count", "{connection}", "sum"),
        ("process.cpu.time", "s", "sum"),
        ("process.memory.usage", "By", "sum"),
    },
    "worker": {
        ("messaging.process.duration", "s", "histogram"),
        ("rpc.client.call.duration", "s", "histogram"),
        ("rpc.client.active_calls", "{call}", "sum"),
        ("db.client.connection.count", "{connection}", "sum"),
        ("process.cpu.time", "s", "sum"),
        ("process.memory.usage", "By", "sum"),
    },
    "beat": {
        ("rabbitmq.queue.messages", "{message}", "gauge"),
        ("rabbitmq.queue.consumers", "{consumer}", "gauge"),
        ("rabbitmq.queue.acknowledged", "{message}", "sum"),
        ("app.tasks.waiting", "{task}", "gauge"),
        ("messaging.client.operation.duration", "s", "histogram"),
    },
    "dataservice": {
        ("messaging.process.duration", "s", "histogram"),
        ("app.rpc.queue.duration", "s", "histogram"),
        ("app.rpc.dead_letters", "{message}", "sum"),
    },
}


def test_every_metric_arrives_with_its_unit(traced: Traced) -> None:
    call(traced, PROCESS, **{"Idempotency-Key": f"key-{time.time_ns()}"})
    call(traced, PROCESS_ASYNC)
    spoil(traced)

    def told(_: Any) -> bool:
        return all(found(traced, name) >= metrics for name, metrics in EXPECTED.items())

    try:
        traced.receiver.wait(told, "all metrics")
    except AssertionError:
        for name, metrics in EXPECTED.items():
            assert not metrics - found(traced, name), name
        raise


def found(traced: Traced, service: str) -> set[tuple[str, str, str]]:
    metrics = traced.receiver.metrics.copy()
    return {(m.name, m.unit, m.kind) for m in metrics if m.service == service}


def spoil(traced: Traced) -> None:
    """Send what is no request: it becomes a dead letter."""
    from kombu import Connection

    env = traced.stack.env
    with Connection(
        hostname=env["RABBITMQ_HOST"],
        port=int(env["RABBITMQ_PORT"]),
        userid=env["RABBITMQ_USER"],
        password=env["RABBITMQ_PASSWORD"],
        virtual_host=env["RABBITMQ_VHOST"],
    ) as connection:
        connection.Producer().publish(
            b"[", routing_key="data_queue", content_type="text/plain"
        )


def points(traced: Traced, name: str) -> Iterator[dict[str, Any]]:
    for metric in traced.receiver.metrics.copy():
        if metric.name == name:
            yield from metric.points


def test_depths_are_those_of_both_queues_by_state(traced: Traced) -> None:
    def states(_: Any) -> bool:
        seen = {
            (
                point["attributes"]["messaging.destination.name"],
                point["attributes"]["rabbitmq.message.state"],
            )
            for point in points(traced, "rabbitmq.queue.messages")
        }
        return seen == {
            (queue, state)
            for queue in ("data_queue", "data_queue_dlq")
            for state in ("ready", "unacknowledged")
        }

    traced.receiver.wait(states, "depths")


@pytest.fixture(params=["hanging", "gone"])
def collector(request: pytest.FixtureRequest, traced: Traced) -> Iterator[str]:
    """A collector that does not answer; one that is gone stays so."""
    name: str = request.param
    if name == "gone":
        traced.receiver.__exit__(None, None, None)
        yield name
    else:
        with traced.receiver.hanging():
            yield name


def test_a_lost_collector_costs_nothing(traced: Traced, collector: str) -> None:
    """Last in this file: it ends with the stack stopped."""
    load(traced, seconds=2)
    processes = [
        process
        for app in [*traced.stack.apis, *traced.stack.services]
        for process in tree(app.pid)
    ]
    before = load(traced, seconds=4)
    memory = resident(processes)
    grpc = traced.stack.env["OTEL_EXPORTER_OTLP_PROTOCOL"] == "grpc"
    # Twelve seconds show what happens to a batch; one of the four goes on for a minute.
    during = load(traced, seconds=60 if grpc and collector == "gone" else 12)
    grown = resident(processes) - memory
    assert statistics.median(during) < 1.5 * statistics.median(before) + 0.005
    assert grown < 40e6 * len(processes)
    if collector == "gone":
        for app in traced.stack.processes:
            began = time.monotonic()
            app.stop()
            assert time.monotonic() - began < 9, app.name


def load(traced: Traced, seconds: float) -> list[float]:
    """Times of requests by four callers; every request must succeed."""
    until = time.monotonic() + seconds
    body = json.dumps({"payload": "x" * 50}).encode()

    def send(number: int) -> list[float]:
        times: list[float] = []
        while (began := time.monotonic()) < until:
            # Few tasks: what the worker has not done is there for the next test.
            path = PROCESS if number or len(times) % 25 else PROCESS_ASYNC
            answer = traced.api.send(path, body)
            assert answer.status_code in (200, 202), answer.text
            times.append(time.monotonic() - began)
        return times

    with ThreadPoolExecutor(4) as pool:
        return [x for times in pool.map(send, range(4)) for x in times]


def tree(pid: int) -> list[psutil.Process]:
    process = psutil.Process(pid)
    return [process, *process.children(recursive=True)]


def resident(processes: list[psutil.Process]) -> int:
    return sum(process.memory_info().rss for process in processes)
