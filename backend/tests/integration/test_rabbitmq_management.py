"""Figures of queues, from a real management API."""

from urllib.parse import quote, urlsplit

import pytest
from pydantic import SecretStr

from app.core.exceptions import BrokerUnavailable
from app.infrastructure.rabbitmq_management import ManagementApi
from chassis.settings import RabbitMQSettings, RpcSettings
from tests.integration.responder import Responder, wait_until


def test_every_queue_is_told_at_once(
    rabbitmq_settings: RabbitMQSettings, responder: Responder
) -> None:
    management = ManagementApi(rabbitmq_settings)
    assert responder.queue in management.read_queues()
    # The broker gathers its figures every few seconds: a new queue has none at first.
    wait_until(
        lambda: {"consumers": 1, "messages": 0}.items()
        <= management.read_queues()[responder.queue].items(),
        20,
    )
    assert "other" not in management.read_queues()


def test_a_missing_queue_is_reported_as_missing(
    rabbitmq_settings: RabbitMQSettings,
) -> None:
    for wrong in ({"management_url": "http://127.0.0.1:9"}, {"vhost": "nowhere"}):
        management = ManagementApi(rabbitmq_settings.model_copy(update=wrong))
        with pytest.raises(BrokerUnavailable):
            management.read_queues()


def test_a_url_says_where_to_log_in(
    rabbitmq_settings: RabbitMQSettings, responder: Responder
) -> None:
    password = rabbitmq_settings.password.get_secret_value()
    login = f"{rabbitmq_settings.user}:{password}"
    url = f"amqp://{login}@unused/{quote(rabbitmq_settings.vhost, safe='')}"
    rpc = RpcSettings(broker_url=SecretStr(url))
    only_url = RabbitMQSettings(
        user="nobody", management_url=rabbitmq_settings.management_url
    )
    assert responder.queue in ManagementApi(only_url, rpc).read_queues()
    redis = RpcSettings(broker_url=SecretStr("redis://unused"))
    with pytest.raises(BrokerUnavailable, match="RPC_BROKER_URL"):
        ManagementApi(only_url, redis).read_queues()


def test_of_several_nodes_one_is_enough(
    rabbitmq_settings: RabbitMQSettings, responder: Responder
) -> None:
    port = urlsplit(rabbitmq_settings.management_url or "").port
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("chassis.rabbitmq.MANAGEMENT_PORT", port)
        several = {"host": "127.0.0.9,127.0.0.1", "management_url": None}
        management = ManagementApi(rabbitmq_settings.model_copy(update=several))
    assert responder.queue in management.read_queues()
