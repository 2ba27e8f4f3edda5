"""Queues and services by each other's name, where nobody says otherwise."""

import os

#: `make rename` puts the project's name before it.
PATTERN = "{service}_queue"


def get_queue_name(service: str) -> str:
    """The queue of a service: what ``<NAME>_QUEUE_NAME`` says, or one by its name."""
    named = os.getenv(f"{service.upper()}_QUEUE_NAME")
    return named or PATTERN.format(service=service)


def get_service_name(queue: str) -> str:
    """The service of a queue: ``data`` of ``data_queue``."""
    before, _, behind = PATTERN.partition("{service}")
    return queue.removeprefix(before).removesuffix(behind)
