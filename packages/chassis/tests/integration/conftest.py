"""A RabbitMQ for the session, and queue, caller and service for each test."""

import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.integration.client import Caller, Rabbit
from tests.integration.process import ServiceProcess
from tests.integration.waiting import wait_until

Start = Callable[..., ServiceProcess]


@pytest.fixture
def queue() -> str:
    return f"queue_{uuid.uuid4().hex[:8]}"


@pytest.fixture
def environment(rabbitmq: Rabbit, vhost: str, queue: str) -> dict[str, str]:
    return {
        "RABBITMQ_HOST": rabbitmq.host,
        "RABBITMQ_PORT": str(rabbitmq.port),
        "RABBITMQ_USER": rabbitmq.user,
        "RABBITMQ_PASSWORD": rabbitmq.password,
        "RABBITMQ_VHOST": vhost,
        "QUEUE_NAME": queue,
    }


@pytest.fixture
def launch(environment: dict[str, str], tmp_path: Path) -> Iterator[Start]:
    """Starts `main.py` or, by the name "probe", `probe.py`; does not wait for it."""
    with ExitStack() as stack:
        started = 0

        def launch(service: str = "main", **env: str) -> ServiceProcess:
            nonlocal started
            started += 1
            process = ServiceProcess(
                service, {**environment, **env}, tmp_path / f"service-{started}.log"
            )
            return stack.enter_context(process)

        yield launch


@pytest.fixture
def start(launch: Start, rabbitmq: Rabbit, vhost: str, queue: str) -> Start:
    """As `launch`, and waits until it consumes."""

    def start(service: str = "main", **env: str) -> ServiceProcess:
        before = rabbitmq.consumers(queue, vhost)
        process = launch(service, **env)
        wait_until(
            lambda: rabbitmq.consumers(queue, vhost) > before,
            "the service consumes",
        )
        return process

    return start


@pytest.fixture
def connect(rabbitmq: Rabbit, vhost: str, queue: str) -> Iterator[Callable[[], Caller]]:
    """Makes callers; closes them after the test."""
    with ExitStack() as stack:
        yield lambda: stack.enter_context(Caller(rabbitmq, vhost, queue))
