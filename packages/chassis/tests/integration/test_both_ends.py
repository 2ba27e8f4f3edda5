"""Callers and services follow the same settings, and read them in the same way."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Protocol

import pytest

from chassis.rpc.producers import EventProducer
from chassis.settings import RabbitMQSettings, RpcSettings
from tests.integration.caller import Caller, Rabbit
from tests.integration.conftest import Start
from tests.integration.proxy import Proxy
from tests.integration.responder import Responder
from tests.integration.waiting import wait_until

LARGE = "x" * 300_000  # many TLS records, and many frames


class End(Protocol):
    """One end, which finds its broker in the variables."""

    def start(self, **env: str) -> None:
        """Start it."""

    def call(self, payload: Any) -> Any:
        """Send the payload through this end; returns the reply."""

    def report(self) -> str:
        """Its log so far."""


class Service:
    """The chassis serves; the caller is the test's."""

    def __init__(self, launch: Start, caller: Caller) -> None:
        self._launch = launch
        self._caller = caller

    def start(self, **env: str) -> None:
        self._process = self._launch(**env)

    def call(self, payload: Any) -> Any:
        wait_until(lambda: "Connected to the queue" in self._process.log, "it consumes")
        return self._caller.call(payload).body["output"]

    def report(self) -> str:
        return self._process.log


class CallingEnd:
    """The chassis calls; the service is the test's."""

    def __init__(
        self,
        queue: str,
        environment: dict[str, str],
        monkeypatch: pytest.MonkeyPatch,
        caplog: pytest.LogCaptureFixture,
        stack: ExitStack,
    ) -> None:
        self._queue = queue
        self._environment = environment
        self._monkeypatch = monkeypatch
        self._caplog = caplog
        self._stack = stack

    def start(self, **env: str) -> None:
        for name, value in {**self._environment, **env}.items():
            self._monkeypatch.setenv(name, value)
        self._producer = EventProducer.connect(RabbitMQSettings(), RpcSettings())
        self._stack.callback(self._producer.close)

    def call(self, payload: Any) -> Any:
        wait_until(lambda: self._producer.client.connected, "it connects")
        return self._producer.call(self._queue, {"payload": payload}).outcome["payload"]

    def report(self) -> str:
        return self._caplog.text


@pytest.fixture(params=["service", "caller"])
def end(
    request: pytest.FixtureRequest,
    launch: Start,
    connect: Callable[[], Caller],
    responder: Responder,
    environment: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> Iterator[End]:
    with ExitStack() as stack:
        if request.param == "service":
            yield Service(launch, connect())
        else:
            queue = responder.queue
            yield CallingEnd(queue, environment, monkeypatch, caplog, stack)


def test_a_url(end: End, rabbitmq: Rabbit, vhost: str) -> None:
    user = f"{rabbitmq.user}:{rabbitmq.password}"
    url = f"amqp://{user}@{rabbitmq.host}:{rabbitmq.port}/{vhost}"
    end.start(RPC_BROKER_URL=url, RABBITMQ_HOST="elsewhere", RABBITMQ_PORT="1")
    assert end.call("hello") == "hello"


@pytest.mark.parametrize("name", ["RABBITMQ_PASSWORD", "RPC_BROKER_URL"])
def test_a_secret_in_a_file(
    end: End, rabbitmq: Rabbit, vhost: str, tmp_path: Path, name: str
) -> None:
    user = f"{rabbitmq.user}:{rabbitmq.password}"
    url = f"amqp://{user}@{rabbitmq.host}:{rabbitmq.port}/{vhost}"
    file = tmp_path / "secret"
    file.write_text({"RPC_BROKER_URL": url}.get(name, rabbitmq.password) + "\n")
    end.start(**{"RABBITMQ_PASSWORD": "", f"{name}_FILE": str(file)})
    assert end.call("hello") == "hello"


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"RABBITMQ_PASSWORD": "sesame"}, "check RABBITMQ_USER, RABBITMQ_PASSWORD"),
        ({"RABBITMQ_VHOST": "nowhere"}, "check RABBITMQ_VHOST"),
    ],
)
def test_errors_that_retries_cannot_fix_are_logged_once_with_advice(
    end: End, proxy: Proxy, wrong: dict[str, str], told: str
) -> None:
    end.start(RABBITMQ_PORT=str(proxy.port), **wrong)
    wait_until(lambda: told in end.report(), "the refusal is noticed")
    begun = proxy.accepted
    wait_until(lambda: proxy.accepted >= begun + 3, "two more attempts, and a third")
    assert end.report().lower().count("no connection to") == 1


def tls_by(
    way: str, rabbitmq: Rabbit, vhost: str, port: int, host: str = "localhost"
) -> dict[str, str]:
    """Two ways to configure the same."""
    if way == "variables":
        return {"RABBITMQ_HOST": host, "RABBITMQ_PORT": str(port), "RABBITMQ_SSL": "1"}
    user = f"{rabbitmq.user}:{rabbitmq.password}"
    return {"RPC_BROKER_URL": f"amqps://{user}@{host}:{port}/{vhost}"}


@pytest.mark.parametrize("way", ["variables", "url"])
def test_tls(
    end: End,
    rabbitmq: Rabbit,
    vhost: str,
    tls_proxy: Proxy,
    certificate: Path,
    way: str,
) -> None:
    env = tls_by(way, rabbitmq, vhost, tls_proxy.port)
    end.start(**env, RABBITMQ_SSL_CA_FILE=str(certificate))
    assert end.call(LARGE) == LARGE
    assert [end.call(number) for number in range(50)] == list(range(50))
    tls_proxy.cut()
    wait_until(lambda: "Lost" in end.report(), "the loss is noticed")
    assert end.call("after") == "after"


def test_the_systems_authorities_are_trusted(
    end: End, rabbitmq: Rabbit, vhost: str, tls_proxy: Proxy, certificate: Path
) -> None:
    env = tls_by("variables", rabbitmq, vhost, tls_proxy.port)
    end.start(**env, SSL_CERT_FILE=str(certificate))
    assert end.call("hello") == "hello"


@pytest.mark.parametrize(
    ("way", "host", "is_known"),
    [("variables", "127.0.0.1", True), ("url", "localhost", False)],
)
def test_an_untrusted_certificate_is_refused(
    end: End,
    rabbitmq: Rabbit,
    vhost: str,
    tls_proxy: Proxy,
    certificate: Path,
    way: str,
    host: str,
    is_known: bool,
) -> None:
    """Issued by an unknown authority, or for another host."""
    env = tls_by(way, rabbitmq, vhost, tls_proxy.port, host)
    if is_known:
        env["RABBITMQ_SSL_CA_FILE"] = str(certificate)
    end.start(**env)
    failure = "CERTIFICATE_VERIFY_FAILED"
    wait_until(lambda: failure in end.report(), "the certificate is refused")
