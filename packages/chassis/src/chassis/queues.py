"""Maps services to queues and back, by their default names."""

import os

#: `make rename` puts the project's name in front.
PATTERN = "{service}_queue"


def get_queue_name(service: str) -> str:
    """The queue of a service: ``<NAME>_QUEUE_NAME``, or a default made from its
    name."""
    named = os.getenv(f"{service.upper()}_QUEUE_NAME")
    return named or PATTERN.format(service=service)


def get_service_name(queue: str) -> str:
    """The service of a queue: ``data`` for ``data_queue``."""
    before, _, behind = PATTERN.partition("{service}")
    return queue.removeprefix(before).removesuffix(behind)
