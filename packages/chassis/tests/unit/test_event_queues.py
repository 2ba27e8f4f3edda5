"""The queues of a service's events lose nothing: neither when they are full, nor when
a node of RabbitMQ dies, nor when the service keeps failing."""

from typing import Any

import pytest
from amqp import PreconditionFailed

from chassis.events.topology import Subscription, events_exchange
from chassis.rpc.topology import QueueMismatch, RequestQueue

NAME = "shop.events.record.*"
GIBIBYTE = 1024 * 1024 * 1024
LOSES_NOTHING = {
    "x-queue-type": "quorum",
    "x-max-length": 1_000_000,
    "x-max-length-bytes": GIBIBYTE,
    "x-overflow": "reject-publish",
    "x-dead-letter-exchange": "",
    "x-dead-letter-strategy": "at-least-once",
}


class Channel:
    """Records declarations in their order; refuses the queue named `refused`."""

    connection = None
    is_open = True

    def __init__(self, refused: str = "") -> None:
        self.declared: list[tuple[str, Any]] = []
        self.refused = refused

    def queue_declare(self, queue: str, **options: Any) -> tuple[str, int, int]:
        if queue == self.refused:
            raise PreconditionFailed("inequivalent arg 'x-queue-type'")
        assert options["durable"]
        self.declared.append((queue, options["arguments"]))
        return queue, 0, 0

    def exchange_declare(self, exchange: str, **options: Any) -> None:
        assert options["type"] == "topic" and options["durable"]
        self.declared.append((exchange, "exchange"))

    def queue_bind(self, queue: str, exchange: str, routing_key: str) -> None:
        self.declared.append((queue, (exchange, routing_key)))

    def prepare_queue_arguments(self, arguments: Any, **options: Any) -> Any:
        return arguments


def test_what_leaves_the_queue_goes_on() -> None:
    subscription = Subscription("shop", "record.*", "facts")
    channel = Channel()
    subscription.declare(channel)
    days = 24 * 60 * 60 * 1000
    assert channel.declared == [
        (
            f"{NAME}.dlq",
            {
                "x-queue-type": "quorum",
                "x-max-length": 100_000,
                "x-max-length-bytes": 64 * 1024 * 1024,
                "x-overflow": "drop-head",
                "x-message-ttl": 7 * days,
            },
        ),
        (
            f"{NAME}.retry",
            {
                **LOSES_NOTHING,
                "x-dead-letter-routing-key": NAME,
                "x-message-ttl": 5000,
            },
        ),
        (
            NAME,
            {
                **LOSES_NOTHING,
                "x-dead-letter-routing-key": f"{NAME}.dlq",
                "x-single-active-consumer": True,
                "x-delivery-limit": 10,
                "x-consumer-timeout": 30 * days,
            },
        ),
        ("facts", "exchange"),
        (NAME, ("facts", "record.*")),
    ]


@pytest.mark.parametrize("name", [NAME, f"{NAME}.retry", f"{NAME}.dlq"])
def test_a_queue_with_other_arguments_is_named_with_the_fix(name: str) -> None:
    with pytest.raises(QueueMismatch) as refused:
        Subscription("shop", "record.*").declare(Channel(refused=name))
    assert str(refused.value) == (
        f"queue {name!r} exists with other arguments than this service needs: delete "
        "it when it is empty (inequivalent arg 'x-queue-type')"
    )


def test_the_fix_for_a_queue_of_requests() -> None:
    with pytest.raises(QueueMismatch, match="empty, or set QUEUE_NAME to another name"):
        RequestQueue("work").declare(Channel(refused="work"))


def test_the_exchange_survives_a_restart_of_the_broker() -> None:
    exchange = events_exchange("facts")
    assert (exchange.name, exchange.type, exchange.durable) == ("facts", "topic", True)
