"""The queues of a service, declared as values."""

from dataclasses import dataclass
from typing import Any, Protocol

from amqp import PreconditionFailed
from kombu import Queue

#: How often a message is delivered before it is dead-lettered.
DELIVERY_LIMIT = 3
#: Limits on waiting requests, in number and bytes; the broker refuses further ones.
MAX_LENGTH = 10_000
MAX_BYTES = 64 * 1024 * 1024
#: Limits on dead letters; beyond these, and after a week, the oldest are dropped.
MAX_DEAD_LETTERS = 100_000
MAX_DEAD_LETTER_BYTES = 64 * 1024 * 1024
DEAD_LETTER_DAYS = 7

#: The names of reply queues, a regular expression for RabbitMQ's permissions. A caller
#: has its own, which is exclusive. The default exchange leads to every queue: RabbitMQ
#: cannot restrict it. So a service may send requests; only its user may receive them.
REPLIES = r"rpc\.reply\..+"


class QueueMismatch(Exception):
    """A queue with this name exists, with other arguments."""


class DeclaredQueue(Protocol):
    """A queue that a receiver declares and consumes."""

    @property
    def name(self) -> str: ...

    def declare(self, channel: Any) -> None: ...


@dataclass(frozen=True)
class RequestQueue:
    """A service's request queue and its dead-letter queue."""

    name: str

    @property
    def dead_letter_name(self) -> str:
        """Where requests go that no handler could process."""
        return f"{self.name}_dlq"

    @property
    def arguments(self) -> dict[str, Any]:
        """The arguments of the request queue, by RabbitMQ's names."""
        return {
            "x-queue-type": "quorum",
            "x-delivery-limit": DELIVERY_LIMIT,
            "x-max-length": MAX_LENGTH,
            "x-max-length-bytes": MAX_BYTES,
            "x-overflow": "reject-publish",
            "x-dead-letter-exchange": "",
            "x-dead-letter-routing-key": self.dead_letter_name,
            "x-dead-letter-strategy": "at-least-once",
        }

    @property
    def dead_letter_arguments(self) -> dict[str, Any]:
        """The arguments of the dead-letter queue: limited, as a full disk stops all
        publishers."""
        return {
            "x-queue-type": "quorum",
            "x-max-length": MAX_DEAD_LETTERS,
            "x-max-length-bytes": MAX_DEAD_LETTER_BYTES,
            "x-overflow": "drop-head",
            "x-message-ttl": int(DEAD_LETTER_DAYS * 24 * 60 * 60 * 1000),
        }

    def declare(self, channel: Any) -> None:
        """Declare both queues on a kombu channel.

        The dead-letter queue comes first, so that no dead letter is lost.

        Raises:
            QueueMismatch: one of them exists with other arguments.
        """
        for name, arguments in (
            (self.dead_letter_name, self.dead_letter_arguments),
            (self.name, self.arguments),
        ):
            advice = "delete it when it is empty, or set QUEUE_NAME to another name"
            declare_queue(channel, name, arguments, advice)


def declare_queue(
    channel: Any, name: str, arguments: dict[str, Any], advice: str
) -> None:
    """Declare a durable queue on a kombu channel.

    Raises:
        QueueMismatch: it exists with other arguments; the message ends with the advice.
    """
    try:
        Queue(name, durable=True, queue_arguments=arguments)(channel).queue_declare()
    except PreconditionFailed as error:
        raise QueueMismatch(
            f"queue {name!r} exists with other arguments than this service needs: "
            f"{advice} ({error.reply_text})"
        ) from error
