"""Calls to services from code of one's own: plain endpoints, tasks, scripts."""

import os
from typing import Any

from app.core.request_id import current_request_id

_producer: Any = None


def set_event_producer(producer: Any) -> None:
    """Called by each process's composition root: what ``call_service`` uses."""
    global _producer
    _producer = producer


def call_service(
    queue_name: str, payload: dict[str, Any], use_rabbitmq: bool = True
) -> Any:
    """Call the service behind ``queue_name`` and return its outcome. Blocks.

    For plain ``def`` endpoints, tasks and scripts. RabbitMQ is the only transport.

    Raises:
        ValueError: ``use_rabbitmq`` is False.
        ApplicationError: as ``EventProducer.call``.
    """
    if not use_rabbitmq:
        raise ValueError("services are called over RabbitMQ only")
    if _producer is None:
        raise RuntimeError("set_event_producer() has not been called in this process")
    request_id = current_request_id.get()
    return _producer.call(queue_name, payload, correlation_id=request_id).outcome


def get_queue_name(service: str) -> str:
    """The queue of a service: ``PRICING_QUEUE_NAME``, or ``pricing_queue``."""
    return os.getenv(f"{service.upper()}_QUEUE_NAME") or f"{service}_queue"
