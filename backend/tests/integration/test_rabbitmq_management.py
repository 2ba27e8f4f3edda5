"""Figures of queues, from a real management API."""

import pytest

from app.core.exceptions import BrokerUnavailable
from app.infrastructure.rabbitmq_management import ManagementApi
from chassis.settings import RabbitMQSettings
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
