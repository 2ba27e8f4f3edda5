"""What a connection to Redis asks of kombu."""

from collections.abc import Callable
from typing import Any

import pytest
from kombu import Connection
from pydantic import SecretStr

from chassis.rpc.brokers import new_connection
from chassis.rpc.connection import IO_TIMEOUT
from chassis.settings import RabbitMQSettings, RpcSettings

Asked = Callable[..., dict[str, Any]]


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Asked:
    """kombu's options for a URL."""
    options: dict[str, Any] = {}

    def connect(*_: Any, **given: Any) -> Any:
        options.update(given)
        return Connection("memory://")

    monkeypatch.setattr("chassis.rpc.redis.Connection", connect)

    def ask(url: str, ca_file: str | None = None, prefix: str = "") -> dict[str, Any]:
        rabbitmq = RabbitMQSettings.model_construct(ssl_ca_file=ca_file)
        rpc = RpcSettings(broker_url=SecretStr(url), key_prefix=prefix)
        new_connection(rabbitmq, rpc, "test")
        return options

    return ask


@pytest.mark.parametrize("place", ["redis://h", "sentinel://one,two?master_name=m"])
def test_waiting_has_limits(asked: Asked, place: str) -> None:
    """Of Sentinels too, one after the other: some may be away."""
    options = asked(place)["transport_options"]
    for found in (options, options.get("sentinel_kwargs", options)):
        for name in ("socket_timeout", "socket_connect_timeout"):
            assert 0 < found[name] <= IO_TIMEOUT, name


def test_two_systems_may_share_a_database(asked: Asked) -> None:
    options = asked("redis://h", prefix="shop:")["transport_options"]
    assert options["global_keyprefix"] == "shop:"


def test_the_authority_of_the_url_counts_more_than_rabbitmqs(
    asked: Asked, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chassis.redis_url.RedisUrl.check_files", lambda _: None)
    assert asked("redis://h", "rabbit.crt")["ssl"] is False
    assert asked("rediss://h", "rabbit.crt")["ssl"]["ssl_ca_certs"] == "rabbit.crt"
    own = asked("rediss://h?ssl_ca_certs=own.crt", "rabbit.crt")["ssl"]
    assert own["ssl_ca_certs"] == "own.crt" and own["ssl_cert_reqs"] == "required"


def test_sentinels_are_asked_for_the_primary_once_each(asked: Asked) -> None:
    """There are others to ask."""
    url = "sentinel://one,two?master_name=m&sentinel_username=u&sentinel_password=p"
    options = asked(url)["transport_options"]
    assert options["master_name"] == "m"
    own = options["sentinel_kwargs"]
    assert (own["username"], own["password"]) == ("u", "p")
    assert own["retry"].get_retries() == 0
    assert "sentinel_kwargs" not in asked("redis://h")["transport_options"]
