"""The whole stack with telemetry on, and the receiver of its telemetry."""

from collections.abc import Iterator
from dataclasses import dataclass

import httpx2
import pytest

from local.otlp.receiver import Receiver
from local.ports import free_port
from local.servers.postgres import PostgreSQL
from local.servers.rabbitmq import RabbitMQ
from local.servers.redis import KeysRedis, Redis
from local.stack import Servers, Stack, migrate
from local.state import State
from tests.e2e.client import Api, wait_for

# Short intervals for exports, so that tests need not wait.
HASTE = {
    "OTEL_BSP_SCHEDULE_DELAY": "100",
    "OTEL_BLRP_SCHEDULE_DELAY": "100",
    "OTEL_METRIC_EXPORT_INTERVAL": "1000",
    "OTEL_EXPORTER_OTLP_TIMEOUT": "5",  # seconds, in Python
}


@dataclass
class Traced:
    """A running stack, a client of its gateway, and the telemetry that the stack
    sent."""

    state: State
    stack: Stack
    api: Api
    receiver: Receiver

    def log(self, name: str) -> str:
        """The standard error of a process."""
        return self.state.log(name).read_text()


# For tests of what may differ by protocol; the others run over gRPC alone. pytest
# sorts by this parameter, so each protocol's stack is started once. The chassis tests
# both protocols in each of its processes; a second stack takes most of a minute.
EACH_PROTOCOL = pytest.mark.parametrize(
    "traced",
    ["grpc", pytest.param("http/protobuf", marks=pytest.mark.chaos)],
    indirect=True,
)


@pytest.fixture(scope="session", params=["grpc"])
def traced(
    request: pytest.FixtureRequest,
    state: State,
    rabbitmq: RabbitMQ,
    postgres: PostgreSQL,
    redis_server: Redis,
    redis_keys: KeysRedis,
) -> Iterator[Traced]:
    """Two API processes on one port, behind nginx, exporting by one protocol."""
    servers = Servers(postgres, redis_server, redis_keys, rabbitmq)
    with Receiver() as receiver:
        grpc = request.param == "grpc"
        env = {
            **HASTE,
            "OTEL_EXPORTER_OTLP_ENDPOINT": (
                receiver.grpc_url if grpc else receiver.http_url
            ),
            "OTEL_EXPORTER_OTLP_PROTOCOL": request.param,
            "LOG_FORMAT": "json",
            "WEB_CONCURRENCY": "2",
        }
        stack = Stack.create(
            state, servers, env, api_ports=[free_port()], nginx_port=free_port()
        )
        migrate(stack.env)
        try:
            stack.start()
            wait_for(lambda: all_ready(stack.api_url), "both API processes")
            api = Api(stack.url)
            yield Traced(state, stack, api, receiver)
            api.close()
        finally:
            stack.stop()


def all_ready(url: str) -> bool:
    """Whether each of many new connections finds a process that is ready."""
    ready = f"{url}/health/ready"
    return all(httpx2.get(ready).status_code == 200 for _ in range(16))
