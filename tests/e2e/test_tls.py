"""The whole stack with TLS on every connection, as `make run ARGS=--tls` starts it."""

import socket
from collections.abc import Iterator

import httpx2
import psutil
import psycopg2
import pytest

from local import certificates, traces
from local.ports import LOOPBACK, free_port
from local.registry import registered
from local.servers.nginx import find_binary as find_nginx
from local.servers.otlp import TraceReceiver
from local.servers.postgres import PostgreSQL
from local.servers.privileges import find_tls_installation
from local.servers.rabbitmq import RabbitMQ, find_script
from local.servers.redis import KeysRedis, Redis, find_tls_binary
from local.stack import Servers, Stack, migrate, start_all, stop_all
from local.state import State, leftovers
from local.status import UP, describe, state_of
from local.tls import Tls
from tests.e2e.client import Api, wait_for

FOUND = (find_nginx(), find_script(), find_tls_binary(), find_tls_installation())
HTTP = b"GET /health HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"


class Encrypted:
    """The running stack, and the ports that it should listen on."""

    def __init__(self, state: State, tls: Tls) -> None:
        self.tls = tls
        self.postgres = PostgreSQL(state, free_port(), fsync=False)
        self.redis = Redis(state, free_port())
        self.keys = KeysRedis(state, free_port())
        self.rabbitmq = RabbitMQ(state, free_port(), free_port())
        self.receiver = TraceReceiver(state, free_port(), free_port())
        self.servers = Servers(self.postgres, self.redis, self.keys, self.rabbitmq)
        self.stack = Stack.create(
            state,
            self.servers,
            self.receiver.environment,
            api_ports=[free_port()],
            nginx_port=free_port(),
        )

    @property
    def greetings(self) -> dict[int, bytes]:
        """What a client without TLS says at each port."""
        nginx = self.stack.nginx
        assert nginx
        amqp, redis = b"AMQP\0\0\x09\x01", b"PING\r\n"
        return {
            **{nginx.port: HTTP, self.stack.apis[0].port: HTTP},
            **{self.redis.port: redis, self.keys.port: redis},
            **{self.rabbitmq.port: amqp, self.rabbitmq.management_port: HTTP},
            self.receiver.port: HTTP.replace(b"/health", b"/spans"),
            self.receiver.grpc_port: b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
            self.postgres.port: b"",  # has a test of its own
        }


@pytest.fixture(scope="module")
def encrypted(state: State) -> Iterator[Encrypted]:
    if not all(FOUND):
        pytest.skip("needs nginx, RabbitMQ, and Redis and PostgreSQL with TLS")
    tls = Tls(state.path / "certificates of the stack")
    certificates.ensure(tls.folder)
    own = State(state.path / "tls-stack", tls)
    own.acquire()
    whole = Encrypted(own, tls)
    servers = [*whole.servers.own, whole.receiver]
    try:
        start_all(servers)
        migrate(whole.servers.environment())
        whole.stack.start()
        yield whole
    finally:
        whole.stack.stop()
        stop_all(servers)
        own.release()


@pytest.mark.timeout(180)  # it starts a whole stack
def test_work_is_done_and_seen(
    encrypted: Encrypted, capsys: pytest.CaptureFixture[str]
) -> None:
    stack = encrypted.stack
    api = Api(stack.url, verify=encrypted.tls.client())
    try:
        assert stack.url.startswith("https://")
        health = api.http.get("/health")
        assert health.status_code == 200, health.text
        assert "max-age=" in health.headers["Strict-Transport-Security"]
        records = "/api/v1/database/records"
        assert api.get_json(records) == []
        if "data" in registered():
            assert api.process("hello", "uppercase")["outcome"]["output"] == "HELLO"
            api.process_async("hello", "uppercase")
            assert len(api.get_json(records)) == 2
        # Over RabbitMQ's management API.
        metrics = api.get_json("/api/v1/metrics")
        assert metrics["queues"] and metrics["queues_error"] is None
    finally:
        api.close()
    state = encrypted.receiver.state
    parts = [describe(part) for part in [*stack.processes, *encrypted.servers.own]]
    assert {part.name: state_of(part, state.path) for part in parts} == {
        part.name: UP for part in parts
    }
    encrypted.receiver.note(state.path / traces.URL_FILE)

    def seen() -> bool:
        assert traces.show(["500"], state.path) == 0
        return f"GET {records}" in capsys.readouterr().out

    wait_for(seen, "a trace")


def test_a_client_that_trusts_another_authority_sends_nothing(
    encrypted: Encrypted, state: State
) -> None:
    stranger = Tls(state.path / "stranger")
    certificates.ensure(stranger.folder)
    for url in (encrypted.stack.url, encrypted.stack.api_url):
        with httpx2.Client(verify=stranger.client()) as client:
            with pytest.raises(httpx2.ConnectError, match="verify failed"):
                client.get(f"{url}/health")


@pytest.mark.promise("docs/SECURITY.md", "A port answers nobody who comes without TLS.")
def test_no_port_answers_without_tls(encrypted: Encrypted) -> None:
    for port, greeting in encrypted.greetings.items():
        if not greeting:
            continue
        with socket.create_connection((LOOPBACK, port), timeout=10) as connection:
            connection.sendall(greeting)
            answer = _read(connection)
        for word in (b"200 OK", b"PONG", b"AMQPLAIN"):
            assert word not in answer, (port, answer)
    with pytest.raises(psycopg2.OperationalError, match="no encryption"):
        psycopg2.connect(
            host=LOOPBACK,
            port=encrypted.postgres.port,
            user="fastapi",
            password="fastapi",
            dbname="postgres",
            sslmode="disable",
        )


def test_nothing_listens_elsewhere(encrypted: Encrypted) -> None:
    """But Erlang's port mapper and its port for other nodes, which has none."""
    path = encrypted.receiver.state.path
    listening = {
        (process.name(), connection.laddr.port)
        for process in leftovers(path)
        for connection in process.net_connections("inet")
        if connection.status == psutil.CONN_LISTEN
    }
    others = {each for each in listening if each[1] not in encrypted.greetings}
    assert {name for name, _ in others} == {"epmd", "beam.smp"}
    assert len(others) == 2
    assert encrypted.greetings.keys() <= {port for _, port in listening}


def _read(connection: socket.socket) -> bytes:
    answer = b""
    connection.settimeout(3)
    try:
        while piece := connection.recv(65536):
            answer += piece
    except (ConnectionResetError, TimeoutError):
        pass
    return answer
