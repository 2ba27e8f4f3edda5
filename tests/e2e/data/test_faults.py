"""Processes and servers die under load; the system reports it, and recovers."""

import socket
from collections.abc import Iterator

import psutil
import pytest

from local.servers.base import Server
from local.servers.postgres import PostgreSQL
from local.servers.rabbitmq import RabbitMQ
from local.servers.redis import KeysRedis, Redis
from local.stack import Stack
from tests.e2e.client import PROCESS, PROCESS_ASYNC, Api, assert_problem, wait_for
from tests.e2e.traffic import Traffic

pytestmark = pytest.mark.timeout(240)  # a broken part has two minutes to return


@pytest.fixture(autouse=True)
def whole(
    api: Api,
    stack: Stack,
    postgres: PostgreSQL,
    redis_server: Redis,
    redis_keys: KeysRedis,
    launched_rabbitmq: RabbitMQ | None,
) -> Iterator[None]:
    """Repairs afterwards what the test broke."""
    yield
    broker = [launched_rabbitmq] if launched_rabbitmq else []
    for server in (postgres, redis_server, redis_keys, *broker, *stack.processes):
        server.resume()
        server.start()
    wait_for(lambda: healthy(api), "the system to be healthy")


def healthy(api: Api) -> bool:
    """Whether every part is up."""
    answer = api.http.get("/health")
    return answer.status_code == 200 and answer.json()["status"] == "ok"


def assert_unavailable(traffic: Traffic) -> None:
    """Every failure must be the contract's error for a missing part."""
    assert traffic.broken == []
    for answer in traffic.failures:
        assert_problem(answer, 504 if answer.status_code == 504 else 503)


def test_a_killed_data_service_loses_no_accepted_work(api: Api, stack: Stack) -> None:
    service = stack.service("dataservice")
    with Traffic(api) as traffic:
        for _ in range(2):
            service.kill()
            service.start()
            traffic.wait_success()

    assert_unavailable(traffic)
    traffic.assert_nothing_lost()


def test_a_restarted_worker_loses_no_accepted_work(api: Api, stack: Stack) -> None:
    with Traffic(api) as traffic:
        stack.worker.restart()
        traffic.wait_success()

    assert traffic.failures == []
    assert_unavailable(traffic)
    traffic.assert_nothing_lost()


def test_a_restarted_api_loses_no_answered_work(api: Api, stack: Stack) -> None:
    with Traffic(api) as traffic:
        stack.apis[0].restart()
        traffic.wait_success()
        stack.apis[0].kill()
        stack.apis[0].start()
        traffic.wait_success()

    assert {answer.status_code for answer in traffic.failures} <= {502, 503, 504}
    traffic.assert_nothing_lost()


def test_disconnecting_clients_leak_nothing(api: Api, stack: Stack) -> None:
    process, service = psutil.Process(stack.apis[0].pid), stack.service("dataservice")
    before: list[int] = []
    for _ in range(4):
        service.pause()  # so that all of them are under way
        clients = [leaving(stack.apis[0].port) for _ in range(32)]
        wait_for(lambda: in_flight(api) >= 32, "32 calls under way")
        for client in clients:
            client.close()
        service.resume()
        wait_for(lambda: in_flight(api) == 0, "no calls under way")
        api.process("another client is served")
        # The first round creates connections and threads that stay.
        before = before or [process.num_fds(), process.num_threads()]
    # Fewer new ones than clients that left: the gateway may keep some connections.
    wait_for(lambda: process.num_fds() < before[0] + 16, "descriptors as before")
    assert process.num_threads() < before[1] + 16


def leaving(port: int | None) -> socket.socket:
    """Send a request, and leave without reading the answer."""
    assert port
    client = socket.create_connection(("127.0.0.1", port))
    body = b'{"payload": "left behind"}'
    head = f"POST {PROCESS} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    client.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
    return client


def in_flight(api: Api) -> int:
    """The number of the API's current calls to its data service."""
    return int(api.get_json("/api/v1/metrics")["rpc"]["in_flight"])


@pytest.mark.promise("ARCHITECTURE.md", "requests succeed once the server is back")
def test_postgresql_dies(api: Api, postgres: PostgreSQL) -> None:
    with Traffic(api) as traffic:
        postgres.kill()
        traffic.wait_failure()
        assert_problem(api.http.get("/api/v1/database/records"), 503)
        postgres.start()
        traffic.wait_success()
        postgres.restart()
        traffic.wait_success()

    assert_unavailable(traffic)
    traffic.assert_nothing_lost()


# How calls end when it stops in order, the chassis tests: it closes its connections.
@pytest.mark.promise("ARCHITECTURE.md", "requests succeed once the server is back")
@pytest.mark.parametrize("way", ["kill", pytest.param("stop", marks=pytest.mark.chaos)])
def test_rabbitmq_dies(api: Api, rabbitmq: RabbitMQ, way: str) -> None:
    with Traffic(api) as traffic:
        getattr(rabbitmq, way)()
        traffic.wait_failure()
        wait_for(lambda: api.http.get("/health").status_code == 503, "health to tell")
        rabbitmq.start()
        traffic.wait_success()

    assert_unavailable(traffic)
    traffic.assert_nothing_lost()


@pytest.mark.promise("ARCHITECTURE.md", "requests succeed once the server is back")
def test_redis_dies(api: Api, redis_server: Redis) -> None:
    """Synchronous work continues. Asynchronous work is accepted, because it is
    stored."""
    redis_server.kill()
    try:
        wait_for(
            lambda: api.get_json("/health")["status"] == "degraded", "health to tell"
        )
        assert api.process("x", "uppercase")["outcome"]["output"] == "X"
        accepted = api.post(PROCESS_ASYNC, "x", "uppercase")
        assert accepted.status_code == 202, accepted.text
    finally:
        redis_server.start()
    wait_for(lambda: healthy(api), "the system to be healthy")
    assert api.process_async("y", "uppercase")["outcome"]["output"] == "Y"
    result = api.wait_ended(accepted.json()["task_id"], within=120)  # by the sweep
    assert result["outcome"]["output"] == "X"


@pytest.mark.parametrize("name", ["dataservice", "worker"])
def test_a_paused_process_resumes(api: Api, stack: Stack, name: str) -> None:
    """A pause shorter than the deadline is only a delay."""
    server: Server = stack.worker if name == "worker" else stack.service("dataservice")
    answer = api.post(PROCESS_ASYNC, "while it sleeps", "uppercase")
    server.pause()
    delayed = api.post(PROCESS_ASYNC, "while it sleeps", "uppercase")
    server.resume()

    for accepted in (answer, delayed):
        result = api.wait_ended(accepted.json()["task_id"])
        assert result["outcome"]["output"] == "WHILE IT SLEEPS"
