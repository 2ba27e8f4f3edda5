"""Which node is asked for the figures of queues, and by which way."""

import ssl
from dataclasses import replace
from email.message import Message
from io import BytesIO
from pathlib import Path
from typing import Any
from unittest.mock import Mock
from urllib.error import HTTPError
from urllib.request import ProxyHandler

import pytest

from app.core.exceptions import BrokerUnavailable
from app.infrastructure.rabbitmq_management import ManagementApi
from chassis.settings import RabbitMQSettings


def test_the_node_that_answered_is_asked_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One that is down may cost two seconds, each time."""
    asked: list[str] = []

    def read(_: Any, base: str) -> list[Any]:
        asked.append(base)
        if base == asked[0]:
            raise OSError
        return []

    management = ManagementApi(RabbitMQSettings(host="one,two", management_url=None))
    monkeypatch.setattr(management, "_read", read)
    for _ in range(2):
        assert management.read_queues() == {}
    assert len(asked) == 3 and asked[0] != asked[1] == asked[2]


def test_an_outage_is_logged_once_with_advice(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Its caller only leaves figures out."""
    is_away = True

    def read(_: Any, __: Any, base: str) -> list[Any]:
        if is_away:
            raise OSError("it is away")
        return []

    monkeypatch.setattr(ManagementApi, "_read", read)
    management = ManagementApi(RabbitMQSettings())
    for _ in range(2):
        with pytest.raises(BrokerUnavailable):
            management.read_queues()
    (lost,) = caplog.messages
    assert "it is away" in lost and "RABBITMQ_MANAGEMENT_URL" in lost
    is_away = False
    management.read_queues()
    assert len(caplog.messages) == 2


def test_nodes_share_the_requests(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: set[str] = set()

    def read(_: Any, __: Any, base: str) -> list[Any]:
        asked.add(base)
        return []

    monkeypatch.setattr(ManagementApi, "_read", read)
    for _ in range(50):
        settings = RabbitMQSettings(host="one,two", management_url=None)
        ManagementApi(settings).read_queues()
    assert len(asked) == 2


def test_a_refused_password_is_told_and_read_again(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "password"
    file.write_text("old")
    monkeypatch.setenv("RABBITMQ_PASSWORD_FILE", str(file))
    used: list[str] = []

    def read(server: Any, base: str) -> list[Any]:
        used.append(server.monitoring_password)
        if used[-1] == "old":
            raise HTTPError(base, 401, "Unauthorized", Message(), None)
        return []

    management = ManagementApi(RabbitMQSettings())
    monkeypatch.setattr(management, "_read", read)
    file.write_text("new")
    with pytest.raises(BrokerUnavailable):
        management.read_queues()
    assert len(caplog.messages) == 1 and "401" in caplog.text
    assert management.read_queues() == {} and used == ["old", "new"]


def test_the_name_of_a_virtual_host_is_one_part_of_the_path(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    management = ManagementApi(RabbitMQSettings(vhost="/a b"))
    asked: list[Any] = []

    def open_url(_: Any, request: Any, **options: Any) -> BytesIO:
        asked.append((request.full_url, options))
        return BytesIO(b"[]")

    monkeypatch.setattr("urllib.request.OpenerDirector.open", open_url)
    assert management.read_queues() == {}
    ((url, options),) = asked
    assert "/api/queues/%2Fa%20b?" in url and 0 < options["timeout"] <= 2


def test_no_proxy_of_the_environment_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """AMQP asks none, either; and the password is in the request."""
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    handlers: Any = ManagementApi(RabbitMQSettings())._opener
    assert not [each for each in handlers.handlers if isinstance(each, ProxyHandler)]


@pytest.mark.parametrize("verifies", [True, False])
def test_the_certificates_are_those_of_amqp(
    monkeypatch: pytest.MonkeyPatch, verifies: bool
) -> None:
    """A private authority signs the nodes, and knows their clients."""
    context, asked = Mock(), Mock()
    asked.return_value = context
    monkeypatch.setattr(ssl, "create_default_context", asked)
    management = ManagementApi(RabbitMQSettings())
    assert management._server
    files = {"ca_file": "ca", "cert_file": "cert", "key_file": "key"}
    changed: Any = {**files, "verifies": verifies}
    management._server = replace(management._server, **changed)
    assert management._opener
    asked.assert_called_once_with(cafile="ca")
    context.load_cert_chain.assert_called_once_with("cert", "key")
    assert (context.verify_mode == ssl.CERT_NONE) is not verifies
    assert (context.check_hostname is False) is not verifies
