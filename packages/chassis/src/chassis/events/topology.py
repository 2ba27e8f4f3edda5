"""The exchange of events and the queues of its subscribers, declared as values."""

from dataclasses import dataclass
from typing import Any

from kombu import Exchange

from chassis.rpc.topology import REPLIES

#: Written by the relay: the sequence of the event that it published before this one. A
#: reader that has not seen that one has missed some.
PREVIOUS = "x-previous"

#: The exchange's name in definitions.json.
EXCHANGE = "events"
#: What the user of API, worker and relay may do, by RabbitMQ's names: call, publish
#: events, and receive them through queues that API processes declare. Binding a queue
#: needs `write` for the queue and `read` for the exchange.
STREAMS = rf"{EXCHANGE}\.api\..+"
API_PERMISSIONS = {
    "configure": rf"^({EXCHANGE}|{STREAMS}|{REPLIES})$",
    "write": rf"^(amq\.default|{EXCHANGE}|{STREAMS})$",
    "read": rf"^({EXCHANGE}|{STREAMS}|{REPLIES})$",
}

#: How often a service tries to handle an event, and the seconds between two tries.
ATTEMPTS = 10
RETRY_SECONDS = 5.0

#: Limits on what waits for a service that is away. Beyond them, the broker refuses
#: further events, and the relay waits: nothing is lost.
MAX_LENGTH = 1_000_000
MAX_BYTES = 1024 * 1024 * 1024


def events_exchange(name: str) -> Exchange:
    """The durable topic exchange; the routing key of an event is its type."""
    return Exchange(name, type="topic", durable=True)


@dataclass(frozen=True)
class Subscription:
    """The events of one pattern for one service: ``record.*`` matches
    ``record.deleted``."""

    service: str
    pattern: str

    @property
    def queue(self) -> str:
        """Where they wait for the service."""
        return f"{self.service}.events.{self.pattern}"

    @property
    def retry_queue(self) -> str:
        """Where an event waits for the next try."""
        return f"{self.queue}.retry"

    @property
    def dead_letter_queue(self) -> str:
        """Where an event goes that the service keeps failing on."""
        return f"{self.queue}.dlq"

    @property
    def arguments(self) -> dict[str, Any]:
        """The arguments of the queue, by RabbitMQ's names."""
        return {
            "x-queue-type": "quorum",
            "x-max-length": MAX_LENGTH,
            "x-max-length-bytes": MAX_BYTES,
            "x-overflow": "reject-publish",
        }
