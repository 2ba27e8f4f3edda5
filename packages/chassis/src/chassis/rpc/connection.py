"""One connection to the broker with one channel, for any kind of broker.

Only its owner's thread uses it: py-amqp's connections must not be shared. It is never
repaired: when an operation fails, ``drop`` it and open another.
"""

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

from kombu import Connection

#: Timeouts in seconds: to connect; for an answer of the broker or a write; to close.
CONNECT_TIMEOUT = 3.0
IO_TIMEOUT = 5.0
CLOSE_TIMEOUT = 1.0
#: Seconds that work in progress has to end before a node is left.
LEAVE_SECONDS = 1.0


@dataclass(slots=True, eq=False)
class Delivery:
    """A received message. ``tag`` identifies it on its connection only."""

    body: bytes
    headers: Mapping[str, Any]
    properties: Mapping[str, Any]
    tag: Any


OnDelivery = Callable[[Delivery], None]


class BrokerConnection(ABC):
    """What callers and receivers have in common.

    ``system`` is the broker's name in OpenTelemetry's conventions. ``is_reliable`` says
    whether it confirms publishes, returns unroutable messages, drops expired ones and
    counts deliveries. ``blocked`` is the reason why it accepts no messages now, or
    None. ``is_leaving`` says that the node is about to stop, and that another one is
    there: end the work in progress, close, and open the next connection. ``nodes`` is
    their number: only after a round of failed attempts, one for each, is it time to
    wait.
    """

    system: str
    is_reliable: bool

    def __init__(self, kombu: Connection) -> None:
        self._kombu = kombu
        self._transport: Any = kombu.transport
        self._driver: Any = None  # py-amqp's connection, or kombu's virtual one
        self.channel: Any = None
        self.blocked: str | None = None
        self.is_leaving = False
        self.nodes = 1

    def __str__(self) -> str:
        return f"{self.system} at {self._kombu.hostname}"

    @property
    def errors(self) -> tuple[type[BaseException], ...]:
        """The errors that are not bugs of ours."""
        known = (*self._kombu.connection_errors, *self._kombu.channel_errors)
        return (*known, OSError)

    def advice(self, error: BaseException) -> str | None:
        """What to do about an error that retries alone cannot fix; None if they can."""
        return None

    def open(self, set_up: Callable[[Any], None]) -> None:
        """Connect, open the channel, and let ``set_up`` declare and consume on it.

        Takes at most CONNECT_TIMEOUT for the connection and IO_TIMEOUT for the rest.
        Dispatches messages that arrived meanwhile: no descriptor would report them.
        """
        self._driver = self._transport.establish_connection()
        with self.within(IO_TIMEOUT):
            self.channel = self._transport.create_channel(self._driver)
            set_up(self.channel)
        self.receive()

    def now(self) -> float:
        """Unix time for messages. Only an unreliable broker's decides anything, so that
        one has its own."""
        return time.time()

    def within(self, seconds: float) -> AbstractContextManager[None]:
        """Limit all waiting for the broker inside."""
        return nullcontext()

    def one_write(self) -> AbstractContextManager[None]:
        """Send everything published and settled inside in one write, at the end."""
        return nullcontext()

    @property
    @abstractmethod
    def descriptors(self) -> Collection[int]:
        """What to poll before :meth:`receive`."""

    @abstractmethod
    def receive(self, is_enough: Callable[[], bool] = lambda: False) -> None:
        """Dispatch received messages, at least one step, until ``is_enough``; never
        waits. No descriptor reports what is then left."""

    @abstractmethod
    def heartbeat(self) -> None:
        """Call this about every second; raises when the broker is silent. May set
        ``is_leaving``."""

    @abstractmethod
    def close(self) -> None:
        """Close within CLOSE_TIMEOUT; unsettled messages return to their queue."""

    @abstractmethod
    def drop(self) -> None:
        """Abandon a failed connection; never waits, never raises."""

    @abstractmethod
    def consume(
        self, queue: str, on_delivery: OnDelivery, *, tag: str, no_ack: bool = False
    ) -> None:
        """Consume a queue; :meth:`receive` delivers its messages."""

    def cancel(self, tag: str) -> None:
        """Stop that consumer; some messages may still arrive."""
        self.channel.basic_cancel(tag)

    def publish(
        self,
        queue: str,
        body: bytes,
        headers: Mapping[str, Any],
        *,
        mandatory: bool = False,
        **properties: Any,
    ) -> None:
        """Send JSON to a queue. It is not persistent: its caller waits, or is gone."""
        message = self.channel.prepare_message(
            body,
            content_type="application/json",
            content_encoding="utf-8",
            headers=headers,
            properties={**properties, "delivery_mode": 1},
        )
        self.channel.basic_publish(
            message, exchange="", routing_key=queue, mandatory=mandatory
        )
