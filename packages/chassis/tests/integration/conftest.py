"""A broker for the session; queue, callers and services for each test."""

import shutil
import ssl
import subprocess
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from pydantic import SecretStr

from chassis.rpc.client import RpcClient
from chassis.settings import RabbitMQSettings, RpcSettings
from tests.integration.caller import Caller, Rabbit
from tests.integration.process import ServiceProcess
from tests.integration.proxy import Proxy
from tests.integration.responder import Responder
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
    """Start the probe, or another program; do not wait for it."""
    with ExitStack() as stack:
        started = 0

        def launch(program: list[str] | None = None, **env: str) -> ServiceProcess:
            nonlocal started
            started += 1
            log = tmp_path / f"service-{started}.log"
            process = ServiceProcess({**environment, **env}, log, program)
            return stack.enter_context(process)

        yield launch


@pytest.fixture
def start(launch: Start, rabbitmq: Rabbit, vhost: str, queue: str) -> Start:
    """Like `launch`, but wait until it consumes."""

    def start(program: list[str] | None = None, **env: str) -> ServiceProcess:
        name = env.get("QUEUE_NAME", queue)
        # RabbitMQ lists the consumer of a process that has just ended for a moment.
        counts = [rabbitmq.consumers(name, vhost)]

        def consumes() -> bool:
            if not process.has_connected:
                return False
            counts.append(rabbitmq.consumers(name, vhost))
            return counts[-1] > min(counts)

        process = launch(program, **env)
        wait_until(consumes, "the service consumes")
        return process

    return start


@pytest.fixture
def connect(rabbitmq: Rabbit, vhost: str, queue: str) -> Iterator[Callable[[], Caller]]:
    """Create callers that follow the contract; close them after the test."""
    with ExitStack() as stack:
        yield lambda: stack.enter_context(Caller(rabbitmq, vhost, queue))


@pytest.fixture(scope="session")
def rabbitmq_settings(rabbitmq: Rabbit, vhost: str) -> RabbitMQSettings:
    """This session's virtual host."""
    return RabbitMQSettings(
        host=rabbitmq.host,
        port=rabbitmq.port,
        user=rabbitmq.user,
        password=SecretStr(rabbitmq.password),
        vhost=vhost,
        management_url=rabbitmq.management_url,
        heartbeat_seconds=1,
    )


@pytest.fixture
def new_client(
    rabbitmq_settings: RabbitMQSettings,
) -> Iterator[Callable[..., RpcClient]]:
    """Create connected RPC clients, and close them after the test."""
    with ExitStack() as stack:

        def new(rpc: RpcSettings | None = None, **rabbitmq: object) -> RpcClient:
            settings = rabbitmq_settings.model_copy(update=rabbitmq)
            client = RpcClient(settings, rpc or RpcSettings())
            stack.callback(client.close)
            client.start()
            assert client.wait_connected(10)
            return client

        yield new


@pytest.fixture
def client(new_client: Callable[..., RpcClient]) -> RpcClient:
    """A connected RPC client."""
    return new_client()


@pytest.fixture
def responder(rabbitmq_settings: RabbitMQSettings) -> Iterator[Responder]:
    """A service on its own queue."""
    with Responder(rabbitmq_settings) as responder:
        yield responder


@pytest.fixture
def proxy(rabbitmq: Rabbit) -> Iterator[Proxy]:
    with Proxy(rabbitmq.host, rabbitmq.port) as proxy:
        yield proxy


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A self-signed certificate for `localhost` with its key, in one file."""
    openssl = shutil.which("openssl")
    assert openssl, "the openssl command is missing"
    file = tmp_path / "tls.pem"
    command = f"{openssl} req -x509 -newkey ec -nodes -days 2 -subj /CN=localhost"
    command += " -pkeyopt ec_paramgen_curve:prime256v1"  # made in no time
    command += " -addext subjectAltName=DNS:localhost -keyout - -out -"
    made = subprocess.run(command.split(), capture_output=True, check=True)
    file.write_bytes(made.stdout)
    return file


@pytest.fixture
def tls(certificate: Path) -> ssl.SSLContext:
    """The TLS context of a server with that certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context


@pytest.fixture
def tls_proxy(rabbitmq: Rabbit, tls: ssl.SSLContext) -> Iterator[Proxy]:
    """A proxy that speaks TLS to its clients."""
    with Proxy(rabbitmq.host, rabbitmq.port, tls) as proxy:
        yield proxy
