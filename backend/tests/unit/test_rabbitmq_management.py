"""Which node is asked for the figures of queues, and by which way."""

from typing import Any
from urllib.request import ProxyHandler

import pytest

from app.infrastructure.rabbitmq_management import ManagementApi
from chassis.settings import RabbitMQSettings


def test_the_node_that_answered_is_asked_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One that is down may cost two seconds, each time."""
    asked: list[str] = []

    def read(_: Any, base: str) -> list[Any]:
        asked.append(base)
        if "//one" in base:
            raise OSError
        return []

    management = ManagementApi(RabbitMQSettings(host="one,two", management_url=None))
    monkeypatch.setattr(management, "_read", read)
    for _ in range(2):
        assert management.read_queues() == {}
    assert [("//one" in base) for base in asked] == [True, False, False]


def test_no_proxy_of_the_environment_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """AMQP asks none, either; and the password is in the request."""
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    handlers: Any = ManagementApi(RabbitMQSettings())._opener
    assert not [each for each in handlers.handlers if isinstance(each, ProxyHandler)]
