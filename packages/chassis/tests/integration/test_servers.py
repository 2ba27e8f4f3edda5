"""RabbitMQ as others run it: URLs, TLS, several nodes, lower limits, refusals."""

import socket
import ssl
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from amqp import AccessRefused
from pydantic import SecretStr

from chassis.rpc.brokers import connections, new_connection
from chassis.rpc.client import RpcClient
from chassis.rpc.producers import EventProducer
from chassis.settings import RabbitMQSettings, RpcSettings
from local.servers.rabbitmq import RabbitMQ
from tests.integration.proxy import Proxy
from tests.integration.responder import Responder
from tests.integration.waiting import wait_until

Url = Callable[[str], str]

#: Everything that has to be encoded in a URL.
USER, PASSWORD, VHOST = "us@er:1", "p/a?s#s %41+ü", "/kit/ü"


@pytest.fixture(scope="module")
def difficult(rabbitmq: RabbitMQ) -> Iterator[Url]:
    """Makes a URL without its scheme for a host."""
    user, vhost = quote(USER, safe=""), quote(VHOST, safe="")
    rabbitmq.create_vhost(VHOST)
    rabbitmq.call("PUT", f"users/{user}", {"password": PASSWORD, "tags": ""})
    everything = {"configure": ".*", "write": ".*", "read": ".*"}
    rabbitmq.call("PUT", f"permissions/{vhost}/{user}", everything)
    password = quote(PASSWORD, safe="")
    yield lambda host: f"{user}:{password}@{host}/{vhost}"
    rabbitmq.call("DELETE", f"users/{user}")
    rabbitmq.delete_vhost(VHOST)


def attempt(rpc_url: str | None = None, **rabbitmq: Any) -> str | None:
    """Connect and declare a queue; the advice, or None if all went well."""
    settings = RabbitMQSettings(**rabbitmq)
    url = SecretStr(rpc_url) if rpc_url else None
    connection = new_connection(settings, RpcSettings(broker_url=url), "test")
    try:
        connection.open(lambda channel: channel.queue_declare("", exclusive=True))
    except Exception as error:
        assert isinstance(error, connection.errors), repr(error)
        return connection.advice(error) or f"no advice: {error!r}"
    finally:
        connection.drop()
    return None


def test_percent_encoded_parts_and_query_words(
    rabbitmq: RabbitMQ, difficult: Url
) -> None:
    url = "amqp://" + difficult(f"{rabbitmq.host}:{rabbitmq.port}")
    assert attempt(f"{url}?heartbeat=7&connection_timeout=2000") is None
    given: dict[str, Any] = {
        "host": rabbitmq.host,
        "port": rabbitmq.port,
        "vhost": VHOST,
    }
    assert attempt(user=USER, password=PASSWORD, **given) is None


def test_tls_by_url(
    difficult: Url, tls_proxy: Proxy, proxy: Proxy, certificate: Path
) -> None:
    url = "amqps://" + difficult(f"localhost:{tls_proxy.port}")
    assert attempt(f"{url}?cacertfile={certificate}") is None
    assert attempt(url, ssl_ca_file=str(certificate)) is None
    assert attempt(f"{url}?verify=verify_none") is None
    assert "certificate is not trusted" in (attempt(url) or "")
    # The certificate is for localhost.
    by_number = "amqps://" + difficult(f"127.0.0.1:{tls_proxy.port}")
    by_number += f"?cacertfile={certificate}"
    assert "is not trusted" in (attempt(by_number) or "")
    assert attempt(f"{by_number}&server_name_indication=localhost") is None
    plain = "amqps://" + difficult(f"localhost:{proxy.port}")
    assert "speaks no TLS" in (attempt(plain) or "")


def test_client_certificates(
    difficult: Url, rabbitmq: RabbitMQ, tls: ssl.SSLContext, certificate: Path
) -> None:
    tls.verify_mode = ssl.CERT_REQUIRED
    tls.load_verify_locations(certificate)
    with Proxy(rabbitmq.host, rabbitmq.port, tls) as proxy:
        url = "amqps://" + difficult(f"localhost:{proxy.port}")
        url += f"?cacertfile={certificate}"
        assert attempt(f"{url}&certfile={certificate}") is None
        assert attempt(url, ssl_cert_file=str(certificate)) is None
        assert attempt(url) is not None


def test_ipv6(rabbitmq: RabbitMQ, difficult: Url) -> None:
    try:
        listener = socket.create_server(("::1", 0), family=socket.AF_INET6)
    except OSError:
        pytest.skip("this machine has no IPv6")
    with Proxy(rabbitmq.host, rabbitmq.port, listener=listener) as proxy:
        assert attempt("amqp://" + difficult(f"[::1]:{proxy.port}")) is None
        given: dict[str, Any] = {"user": USER, "password": PASSWORD, "vhost": VHOST}
        assert attempt(host="::1", port=proxy.port, **given) is None


def test_the_next_node_is_used_when_one_goes(
    rabbitmq: RabbitMQ,
    rabbitmq_settings: RabbitMQSettings,
    responder: Responder,
    new_client: Callable[..., RpcClient],
) -> None:
    with (
        Proxy(rabbitmq.host, rabbitmq.port) as one,
        Proxy(rabbitmq.host, rabbitmq.port) as other,
    ):
        hosts = f"127.0.0.1:{one.port},127.0.0.1:{other.port}"
        client = new_client(host=hosts)
        producer = EventProducer(client, timeout=5)
        producer.call(responder.queue, {})
        first, second = (one, other) if one.accepted else (other, one)
        assert first.accepted and not second.accepted
        began = time.monotonic()
        first.close()
        wait_until(lambda: second.accepted and client.connected, "the next node")
        assert time.monotonic() - began < 1
        producer.call(responder.queue, {})
        second.cut()  # the first is gone, so it comes back to the second
        wait_until(lambda: not client.connected, "the loss")
        wait_until(lambda: client.connected, "the same node")
        producer.call(responder.queue, {})


def test_refusals_say_what_to_do(rabbitmq: RabbitMQ, vhost: str) -> None:
    rabbitmq.call("PUT", "users/poor", {"password": "poor", "tags": ""})
    given: dict[str, Any] = {"host": rabbitmq.host, "port": rabbitmq.port}
    poor: dict[str, Any] = {**given, "user": "poor", "password": "poor", "vhost": vhost}
    permissions = f"permissions/{quote(vhost, safe='')}/poor"
    try:
        assert "or not for user poor" in (attempt(**poor) or "")
        nothing = {"configure": "", "write": "", "read": ""}
        rabbitmq.call("PUT", permissions, nothing)
        assert "user poor lacks permissions" in (attempt(**poor) or "")
        nowhere = f"amqp://poor:poor@{rabbitmq.host}:{rabbitmq.port}/nowhere"
        assert "no virtual host nowhere" in (attempt(nowhere) or "")
        assert "check RPC_BROKER_URL" in (attempt(nowhere) or "")
        assert "RABBITMQ_PASSWORD" in (attempt(**{**poor, "password": "x"}) or "")
        everything = {"configure": ".*", "write": ".*", "read": ".*"}
        rabbitmq.call("PUT", permissions, everything)
        rabbitmq.call("PUT", "user-limits/poor/max-connections", {"value": 0})
        assert "no more connections" in (attempt(**poor) or "")
    finally:
        rabbitmq.call("DELETE", "users/poor")


def test_a_new_password_in_the_file_needs_no_restart(
    rabbitmq: RabbitMQ, vhost: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "password"
    monkeypatch.setenv("RABBITMQ_PASSWORD_FILE", str(file))

    def change(password: str) -> None:
        file.write_text(f"{password}\n")
        rabbitmq.call("PUT", "users/turning", {"password": password, "tags": ""})

    def connect() -> None:
        connection = next(attempts)
        try:
            connection.open(lambda channel: None)
        finally:
            connection.drop()

    change("first")
    permissions = f"permissions/{quote(vhost, safe='')}/turning"
    everything = {"configure": ".*", "write": ".*", "read": ".*"}
    rabbitmq.call("PUT", permissions, everything)
    given: dict[str, Any] = {"host": rabbitmq.host, "port": rabbitmq.port}
    settings = RabbitMQSettings(**given, user="turning", vhost=vhost)
    attempts = connections(settings, RpcSettings(), "test")
    try:
        connect()
        change("second")
        connect()
        rabbitmq.call("PUT", "users/turning", {"password": "third", "tags": ""})
        with pytest.raises(AccessRefused):
            connect()
        file.unlink()  # as while it is replaced: the last one stays
        with pytest.raises(AccessRefused):
            connect()
        file.write_text("third")
        connect()
    finally:
        rabbitmq.call("DELETE", "users/turning")


@pytest.fixture
def low_limits(rabbitmq: RabbitMQ) -> Iterator[None]:
    """As hosted brokers have them; from 4.1 on, no client may have smaller frames."""
    limits = {"frame_max": "8192", "channel_max": "1", "heartbeat": "0"}
    before = {"frame_max": "131072", "channel_max": "2047", "heartbeat": "60"}

    def apply(values: dict[str, str]) -> None:
        calls = [f"application:set_env(rabbit, {k}, {v})" for k, v in values.items()]
        rabbitmq.control("eval", ", ".join(calls) + ".")

    apply(limits)
    yield
    apply(before)


def test_lower_limits_of_the_broker(
    low_limits: None, responder: Responder, new_client: Callable[..., RpcClient]
) -> None:
    text = "x" * 20_000  # several frames
    producer = EventProducer(new_client(), timeout=5)
    assert producer.call(responder.queue, {"text": text}).outcome == {"text": text}
