"""The link alone, for what cannot be provoked from outside."""

from typing import Any

import amqp

from app.rpc.amqp_link import AmqpLink
from app.rpc.link import Broker
from app.rpc.topology import RequestQueue
from tests.integration.client import Rabbit
from tests.integration.waiting import wait_until


def test_a_channel_closed_by_the_broker_is_a_loss(
    rabbitmq: Rabbit, vhost: str, queue: str
) -> None:
    """As when a handler outlasts the broker's `consumer_timeout`."""
    broker = Broker(
        host=rabbitmq.host,
        port=rabbitmq.port,
        username=rabbitmq.user,
        password=rabbitmq.password,
        vhost=vhost,
        ssl=False,
        url=None,
        heartbeat_seconds=10,
        client_name="link",
    )
    link: Any = AmqpLink(broker, RequestQueue(queue), 1, lambda request: None)
    link.open()
    link.receive()
    link._channel.basic_ack(999)

    def lost() -> bool:
        try:
            link.receive()
        except amqp.ChannelError as error:
            return "unknown delivery tag" in str(error)
        return False

    wait_until(lost, "the loss is noticed")
    link.drop()
    link.drop()  # harmless
