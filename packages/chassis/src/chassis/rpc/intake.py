"""A service's connection: receives requests, sends replies and settlements."""

import math
import time
from collections.abc import Callable, Sequence
from typing import Any

from chassis.rpc.connection import BrokerConnection, Delivery
from chassis.rpc.topology import QueueMismatch, RequestQueue
from chassis.rpc.wire import Outcome, Request, Settlement

#: Seconds that an acknowledgement waits for others. Each frame is an entry in the
#: quorum queue's log, whose disk flush competes with those of PostgreSQL.
ACK_DELAY = 0.01

CONSUMER_TAG = "requests"
MAX_UNSETTLED_BYTES = 4 * 1024 * 1024


class Intake:
    """Consumes one queue over one connection until it is lost or closed.

    ``flush_at`` is when :meth:`flush` is due, by the monotonic clock. While requests of
    ``max_bytes`` or more are unsettled, further ones stay in the socket.
    """

    def __init__(
        self,
        connection: BrokerConnection,
        queue: RequestQueue,
        prefetch: int,
        on_request: Callable[[Request], None],
        *,
        max_bytes: int = MAX_UNSETTLED_BYTES,
    ) -> None:
        self.connection = connection
        self.flush_at = math.inf
        self._queue = queue
        self._prefetch = prefetch
        self._on_request = on_request
        self._max_bytes = max_bytes
        #: Tags that were delivered and not settled, in order of delivery, with their
        #: bytes.
        self._unsettled: dict[Any, int] = {}
        self._unsettled_bytes = 0
        #: Whether it may have read messages that no descriptor reports.
        self.is_behind = False
        #: Tags whose acknowledgement waits for others.
        self._acked: list[Any] = []

    def __str__(self) -> str:
        return f"the queue {self._queue.name} of {self.connection}"

    @property
    def queue_name(self) -> str:
        """The queue that it consumes."""
        return self._queue.name

    @property
    def errors(self) -> tuple[type[BaseException], ...]:
        """The errors that are not bugs of ours."""
        return (*self.connection.errors, QueueMismatch)

    def open(self) -> None:
        """Connect, declare the queues and start to consume, within the timeouts.

        Raises:
            QueueMismatch: a queue exists with other arguments.
        """
        self.connection.open(self._set_up)

    def _set_up(self, channel: Any) -> None:
        self._queue.declare(channel)
        channel.basic_qos(0, self._prefetch, False)
        self.connection.consume(self._queue.name, self._arrived, tag=CONSUMER_TAG)

    @property
    def is_full(self) -> bool:
        """Whether it holds as many bytes as allowed."""
        return self._unsettled_bytes >= self._max_bytes

    def receive(self) -> None:
        """Dispatch received messages, and stop when full. It does at least one step, to
        process the broker's heartbeats."""
        self.connection.receive(lambda: self.is_full)
        self.is_behind = self.is_full

    def _arrived(self, delivery: Delivery) -> None:
        self._unsettled[delivery.tag] = len(delivery.body)
        self._unsettled_bytes += len(delivery.body)
        request = Request(delivery, self)
        if not self.connection.is_reliable:
            # Redis does not drop expired messages: count the time in the queue.
            request.arrived -= request.waited() or 0.0
        self._on_request(request)

    def send(self, outcomes: Sequence[tuple[Request, Outcome]]) -> None:
        """Publish the replies, then settle the deliveries of this connection.

        For a delivery of an earlier connection, only the reply is sent, and only while
        its caller may still wait: the broker has delivered the request to another
        consumer.
        """
        with self.connection.one_write():
            for request, outcome in outcomes:
                self._reply(request, outcome)
            for request, outcome in outcomes:
                if request.intake is self:
                    self._settle(request.delivery.tag, outcome.settlement)
            if len(self._acked) > self._prefetch // 4:
                self._acknowledge()
        if self._acked and self.flush_at == math.inf:
            self.flush_at = time.monotonic() + ACK_DELAY

    def _reply(self, request: Request, outcome: Outcome) -> None:
        if outcome.reply is None or not request.reply_to:
            return
        if request.intake is self or not request.is_late():
            self.connection.publish(
                request.reply_to,
                outcome.reply,
                outcome.reply_headers,
                correlation_id=request.correlation_id,
            )

    def _settle(self, tag: Any, settlement: Settlement) -> None:
        self._unsettled_bytes -= self._unsettled.pop(tag)
        if settlement is Settlement.ACK:
            self._acked.append(tag)
        else:
            requeue = settlement is Settlement.REQUEUE
            self.connection.channel.basic_reject(tag, requeue=requeue)

    def flush(self) -> None:
        """Send the acknowledgements that wait for others."""
        with self.connection.one_write():
            self._acknowledge()

    def _acknowledge(self) -> None:
        """One frame for all tags below the oldest unsettled one."""
        tags, self._acked = self._acked, []
        self.flush_at = math.inf
        if not self.connection.is_reliable:
            for tag in tags:
                self.connection.channel.basic_ack(tag)
            return
        oldest = next(iter(self._unsettled), math.inf)
        together = [tag for tag in tags if tag < oldest]
        if together:
            self.connection.channel.basic_ack(max(together), multiple=True)
        for tag in tags:
            if tag > oldest:
                self.connection.channel.basic_ack(tag)

    def cancel(self) -> None:
        """Stop consuming; some requests may still arrive."""
        self.connection.cancel(CONSUMER_TAG)

    def close(self) -> None:
        """Close, in limited time; unsettled requests return to the queue."""
        self._on_request = lambda request: None
        self.flush()
        self.connection.close()
