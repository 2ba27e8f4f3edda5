"""How a team's own endpoint calls services, as ARCHITECTURE.md shows."""

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, cast

import pytest

from app.core.dependencies import call_service, get_queue_name
from app.infrastructure.rabbitmq import EventProducer
from chassis.calls import set_event_producer


@pytest.fixture
def calls() -> Iterator[list[Any]]:
    """The calls of a producer that answers with its input."""
    made: list[Any] = []

    class Producer:
        def call(self, queue: str, payload: Any) -> Any:
            made.append((queue, payload))
            return SimpleNamespace(outcome=payload)

    set_event_producer(cast(EventProducer, Producer()))
    yield made
    set_event_producer(None)


def test_an_endpoint_calls_a_service_by_its_name(calls: list[Any]) -> None:
    queue = get_queue_name("pricing")
    assert call_service(queue_name=queue, payload={"payload": 1}) == {"payload": 1}
    assert calls == [(queue, {"payload": 1})]
