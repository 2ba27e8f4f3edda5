"""What an endpoint of one's own calls services with, as ARCHITECTURE.md shows."""

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, cast

import pytest

from app.core.dependencies import call_service, get_queue_name, set_event_producer
from app.core.request_id import current_request_id
from app.infrastructure.rabbitmq import EventProducer


@pytest.fixture
def calls() -> Iterator[list[Any]]:
    """The calls of a producer that answers with what it was given."""
    made: list[Any] = []

    class Producer:
        def call(self, queue: str, payload: Any, *, correlation_id: str) -> Any:
            made.append((queue, payload, correlation_id))
            return SimpleNamespace(outcome=payload)

    set_event_producer(cast(EventProducer, Producer()))
    yield made
    set_event_producer(None)


def test_a_service_is_called_under_the_request_s_id(calls: list[Any]) -> None:
    token = current_request_id.set("tour-1")
    try:
        assert call_service("pricing_queue", {"payload": 1}) == {"payload": 1}
    finally:
        current_request_id.reset(token)
    assert calls == [("pricing_queue", {"payload": 1}, "tour-1")]


def test_services_are_called_over_rabbitmq_only(calls: list[Any]) -> None:
    with pytest.raises(ValueError, match="over RabbitMQ only"):
        call_service("pricing_queue", {}, use_rabbitmq=False)
    assert not calls


def test_a_process_without_a_producer_says_so() -> None:
    with pytest.raises(RuntimeError, match="set_event_producer"):
        call_service("pricing_queue", {})


def test_a_queue_is_named_after_its_service(monkeypatch: pytest.MonkeyPatch) -> None:
    assert get_queue_name("pricing") == "pricing_queue"
    monkeypatch.setenv("PRICING_QUEUE_NAME", "prices")
    assert get_queue_name("pricing") == "prices"
