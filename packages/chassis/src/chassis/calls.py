"""Calls to services from plain code: a function that needs no producer."""

from typing import Any

from chassis.queues import get_queue_name
from chassis.rpc.producers import EventProducer

__all__ = ["call_service", "get_queue_name", "set_event_producer"]

_producer: EventProducer | None = None


def set_event_producer(producer: EventProducer | None) -> None:
    """Set the producer of :func:`call_service`; each process's composition root calls
    this."""
    global _producer
    _producer = producer


def call_service(
    queue_name: str, payload: dict[str, Any], use_rabbitmq: bool = True
) -> Any:
    """Call the service behind ``queue_name`` and return its outcome. Blocks.

    For plain ``def`` endpoints, services, tasks and scripts. ``payload`` may contain
    Pydantic models, dates and the like: they are converted to JSON. The call carries
    the current request's id, and ends by that request's deadline.

    Raises:
        ValueError: ``use_rabbitmq`` is False; there is no other transport.
        ApplicationError: as ``EventProducer.call``.
    """
    if not use_rabbitmq:
        raise ValueError("calls to services need RabbitMQ: use_rabbitmq must be True")
    if _producer is None:
        raise RuntimeError(
            "this process has no producer: serve(), API and worker set one. A test "
            "puts a function in the place of call_service, by monkeypatch."
        )
    return _producer.call(queue_name, payload).outcome
