import json
import re
from pathlib import Path
from typing import Any

import pytest
from amqp import PreconditionFailed

from chassis.events.topology import (
    API_PERMISSIONS,
    EXCHANGE,
    events_exchange,
    service_permissions,
)
from chassis.rpc.topology import QueueMismatch, RequestQueue
from chassis.settings import EventSettings


class Channel:
    """Records declarations; refuses the queue named `refused`."""

    def __init__(self, refused: str = "") -> None:
        self.declared: dict[str, Any] = {}
        self.refused = refused

    def queue_declare(self, queue: str, **options: Any) -> tuple[str, int, int]:
        if queue == self.refused:
            raise PreconditionFailed("inequivalent arg 'x-queue-type'")
        self.declared[queue] = options
        return queue, 0, 0

    def prepare_queue_arguments(self, arguments: Any, **options: Any) -> Any:
        return arguments


@pytest.mark.promise("docs/RPC.md", "the same consumer, first")
def test_the_dead_letter_queue_is_declared_first() -> None:
    channel = Channel()
    RequestQueue("work").declare(channel)
    assert list(channel.declared) == ["work_dlq", "work"]
    work = channel.declared["work"]
    assert work["durable"] and not work["exclusive"] and not work["auto_delete"]
    assert work["arguments"]["x-dead-letter-routing-key"] == "work_dlq"


@pytest.mark.promise(
    "docs/RPC.md",
    "`x-queue-type: quorum`, `x-delivery-limit: 3`, `x-max-length: 10000`",
)
def test_the_definitions_file_declares_the_same_queues() -> None:
    file = Path(__file__).parents[4] / "rabbitmq" / "definitions.json"
    defined = json.loads(file.read_text())["queues"]
    channel = Channel()
    arguments = {queue["name"]: queue["arguments"] for queue in defined}
    for name in arguments:
        if f"{name}_dlq" in arguments:
            RequestQueue(name).declare(channel)
    assert channel.declared.keys() == arguments.keys()
    for name, options in channel.declared.items():
        assert arguments[name] == options["arguments"]
    assert all(queue["durable"] and not queue["auto_delete"] for queue in defined)


def test_the_definitions_file_declares_the_exchange_of_events() -> None:
    file = Path(__file__).parents[4] / "rabbitmq" / "definitions.json"
    defined = json.loads(file.read_text())
    (found,) = defined["exchanges"]
    exchange = events_exchange(EXCHANGE)
    assert found["name"] == exchange.name == EventSettings().exchange
    assert found["type"] == exchange.type
    assert found["durable"] and not found["auto_delete"] and not found["internal"]
    (api,) = [each for each in defined["permissions"] if each["user"] == "api"]
    assert api == {"user": "api", "vhost": "/", **API_PERMISSIONS}


@pytest.mark.parametrize("name", ["work", "work_dlq"])
def test_a_queue_with_other_arguments_is_named(name: str) -> None:
    with pytest.raises(QueueMismatch, match=f"'{name}' exists with other arguments"):
        RequestQueue("work").declare(Channel(refused=name))


@pytest.mark.parametrize(
    ("name", "rights"),
    [
        ("shop_queue", {"configure", "read"}),
        ("shop_queue_dlq", {"configure"}),
        ("rpc.reply.1", {"configure", "read"}),
        ("shop.events.record.*.retry", {"configure", "write", "read"}),
        ("events", {"configure", "read"}),
        ("amq.default", {"write"}),
        # Of others.
        *(("data_queue", set()), ("data.events.record.*", set())),
        *(("my_shop_queue", set()), ("shop_queue_2", set()), ("shopxevents.a", set())),
    ],
)
def test_a_service_may_use_only_what_is_its_own(name: str, rights: set[str]) -> None:
    permissions = service_permissions("shop", "shop_queue")
    # RabbitMQ searches, it does not match.
    found = {right for right, text in permissions.items() if re.search(text, name)}
    assert found == rights
