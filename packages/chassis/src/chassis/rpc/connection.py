"""One connection to the broker with one channel, whatever the broker is.

Used by one thread only, its owner's: py-amqp's connections must not be shared. It is
never repaired: when anything on it fails, ``drop`` it and open another.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

from kombu import Connection

#: Seconds for connecting; for an answer of the broker, or a write; for saying goodbye.
CONNECT_TIMEOUT = 3.0
IO_TIMEOUT = 5.0
CLOSE_TIMEOUT = 1.0


@dataclass(slots=True, eq=False)
class Delivery:
    """A message that has arrived. ``tag`` names it on its connection, nowhere else."""

    body: bytes
    headers: Mapping[str, Any]
    properties: Mapping[str, Any]
    tag: Any


OnDelivery = Callable[[Delivery], None]


class BrokerConnection(ABC):
    """What callers and receivers have in common.

    ``system`` is the broker's name in OpenTelemetry's conventions, ``is_reliable`` says
    whether it confirms publishes, returns what no queue takes, drops what has expired
    and counts the deliveries of a message. ``blocked`` is the reason for which it takes
    no messages now, if any.
    """

    system: str
    is_reliable: bool

    def __init__(self, kombu: Connection) -> None:
        self._kombu = kombu
        self._transport: Any = kombu.transport
        self._driver: Any = None  # py-amqp's connection, or kombu's virtual one
        self.channel: Any = None
        self.blocked: str | None = None

    def __str__(self) -> str:
        return f"{self.system} at {self._kombu.hostname}"

    @property
    def errors(self) -> tuple[type[BaseException], ...]:
        """What it fails with when that is not a bug of ours."""
        known = (*self._kombu.connection_errors, *self._kombu.channel_errors)
        return (*known, OSError)

    def advice(self, error: BaseException) -> str | None:
        """What to do about an error that retries alone will not mend, if it is one."""
        return None

    def open(self, set_up: Callable[[Any], None]) -> None:
        """Connect, open the channel, and have ``set_up`` declare and consume on it.

        Bounded by CONNECT_TIMEOUT for the connection and IO_TIMEOUT for the rest.
        Dispatches what has arrived meanwhile: no descriptor would tell of it.
        """
        self._driver = self._transport.establish_connection()
        with self.within(IO_TIMEOUT):
            self.channel = self._transport.create_channel(self._driver)
            set_up(self.channel)
        self.receive()

    def within(self, seconds: float) -> AbstractContextManager[None]:
        """Bound all waiting for the broker inside."""
        return nullcontext()

    def one_write(self) -> AbstractContextManager[None]:
        """Send what is published and settled inside together, at the end."""
        return nullcontext()

    @property
    @abstractmethod
    def descriptors(self) -> Collection[int]:
        """What to poll before :meth:`receive`."""

    @abstractmethod
    def receive(self, is_enough: Callable[[], bool] = lambda: False) -> None:
        """Dispatch what has arrived, one step at least, until ``is_enough``; never
        waits. What is left then is not told of by a descriptor."""

    @abstractmethod
    def heartbeat(self) -> None:
        """To be called about every second; raises when the broker has gone silent."""

    @abstractmethod
    def close(self) -> None:
        """Say goodbye within CLOSE_TIMEOUT; what is unsettled returns to its queue."""

    @abstractmethod
    def drop(self) -> None:
        """Let go of a connection that failed; never waits, never raises."""

    @abstractmethod
    def consume(
        self, queue: str, on_delivery: OnDelivery, *, tag: str, no_ack: bool = False
    ) -> None:
        """Have the messages of a queue delivered by :meth:`receive`."""

    def cancel(self, tag: str) -> None:
        """Have no more delivered to that consumer; some messages may still arrive."""
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
        """Send JSON to a queue; not persistent: its caller waits, or is gone."""
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
