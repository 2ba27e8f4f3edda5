"""Metrics and their units, as they arrive."""

import time
from collections.abc import Iterator
from typing import Any

from local.registry import registered
from tests.e2e.client import PROCESS, PROCESS_ASYNC
from tests.integration.conftest import EACH_PROTOCOL, Traced
from tests.integration.data.test_traces import call
from tests.integration.reported import LABELS, METRICS, SELDOM


@EACH_PROTOCOL
def test_every_metric_arrives_with_its_unit_and_labels(traced: Traced) -> None:
    call(traced, PROCESS, **{"Idempotency-Key": f"key-{time.time_ns()}"})
    call(traced, PROCESS_ASYNC)
    spoil(traced)

    def told(_: Any) -> bool:
        return all(found(traced, name) >= metrics for name, metrics in METRICS.items())

    try:
        traced.receiver.wait(told, "all metrics")
    except AssertionError:
        for name, metrics in METRICS.items():
            assert not metrics - found(traced, name), name
        raise
    for name in LABELS.keys() - SELDOM:
        labels = {
            label for point in points(traced, name) for label in point["attributes"]
        }
        assert LABELS[name] - {"service.name"} <= labels, name  # that of the process


def found(traced: Traced, service: str) -> set[tuple[str, str, str]]:
    metrics = traced.receiver.metrics.copy()
    return {(m.name, m.unit, m.kind) for m in metrics if m.service == service}


def spoil(traced: Traced) -> None:
    """Send an invalid request, which becomes a dead letter."""
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


def test_depths_are_reported_per_queue_and_state(traced: Traced) -> None:
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
            for each in registered().values()
            for queue in (each, f"{each}_dlq")
            for state in ("ready", "unacknowledged")
        }

    traced.receiver.wait(states, "depths")
