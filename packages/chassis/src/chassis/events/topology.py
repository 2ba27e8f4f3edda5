"""The exchange of events and the queues of its subscribers, declared as values."""

import re
from dataclasses import dataclass
from typing import Any

from kombu import Exchange

from chassis.rpc.topology import REPLIES, RequestQueue, declare_queue

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
MAX_WAITING = 1_000_000
MAX_WAITING_BYTES = 1024 * 1024 * 1024

#: While PostgreSQL is away, a service holds an event. RabbitMQ would take it back after
#: half an hour; from 3.12 on, it reads this limit.
HOLD_DAYS = 30

#: Words of lower-case letters; ``*`` is one word, ``#`` any number of them.
PATTERN = re.compile(r"([*#]|[a-z0-9_]+)(\.([*#]|[a-z0-9_]+))*")


def service_permissions(user: str, queue: str) -> dict[str, str]:
    """What a service's user may do: declare and read its queue of requests and those of
    its events, bind these to the exchange, and call."""
    own = rf"{user}\.events\..+"
    return {
        "configure": rf"^({queue}(_dlq)?|{REPLIES}|{own}|{EXCHANGE})$",
        "write": rf"^(amq\.default|{own})$",
        "read": rf"^({queue}|{REPLIES}|{own}|{EXCHANGE})$",
    }


def events_exchange(name: str) -> Exchange:
    """The durable topic exchange; the routing key of an event is its type."""
    return Exchange(name, type="topic", durable=True)


@dataclass(frozen=True)
class Subscription:
    """The events of one pattern for one service: ``record.*`` matches
    ``record.deleted``."""

    service: str
    pattern: str
    exchange: str = EXCHANGE

    @property
    def name(self) -> str:
        """The queue in which they wait for the service."""
        return f"{self.service}.events.{self.pattern}"

    @property
    def retry_queue(self) -> str:
        """Where an event waits for the next try."""
        return f"{self.name}.retry"

    @property
    def dead_letter_queue(self) -> str:
        """Where an event goes that the service keeps failing on."""
        return f"{self.name}.dlq"

    @property
    def arguments(self) -> dict[str, Any]:
        """The arguments of the queue, by RabbitMQ's names.

        It has one consumer at a time: several would handle events of one subject in any
        order. A delivery counts against the limit when its process dies.
        """
        return {
            **_waiting_room(self.dead_letter_queue),
            "x-single-active-consumer": True,
            "x-delivery-limit": ATTEMPTS,
            "x-consumer-timeout": HOLD_DAYS * 24 * 60 * 60 * 1000,
        }

    @property
    def retry_arguments(self) -> dict[str, Any]:
        """The arguments of the retry queue: nobody consumes it, and what expires there
        returns."""
        ttl = {"x-message-ttl": int(RETRY_SECONDS * 1000)}
        return _waiting_room(self.name) | ttl

    def declare(self, channel: Any) -> None:
        """Declare exchange and queues on a kombu channel, and bind the queue.

        Raises:
            QueueMismatch: one of them exists with other arguments.
        """
        advice = "delete it when it is empty"
        dead_letters = RequestQueue(self.name).dead_letter_arguments
        declare_queue(channel, self.dead_letter_queue, dead_letters, advice)
        declare_queue(channel, self.retry_queue, self.retry_arguments, advice)
        declare_queue(channel, self.name, self.arguments, advice)
        events_exchange(self.exchange)(channel).declare()
        channel.queue_bind(self.name, self.exchange, self.pattern)


def _waiting_room(next_queue: str) -> dict[str, Any]:
    """The arguments of a queue that loses nothing; what leaves it otherwise than by an
    acknowledgement goes to the next."""
    return {
        "x-queue-type": "quorum",
        "x-max-length": MAX_WAITING,
        "x-max-length-bytes": MAX_WAITING_BYTES,
        "x-overflow": "reject-publish",
        "x-dead-letter-exchange": "",
        "x-dead-letter-routing-key": next_queue,
        "x-dead-letter-strategy": "at-least-once",
    }
