"""A service's connection: requests come in, replies and settlements go out."""

import math
import time
from collections.abc import Callable, Sequence
from typing import Any

from chassis.rpc.connection import BrokerConnection, Delivery
from chassis.rpc.topology import QueueMismatch, RequestQueue
from chassis.rpc.wire import Outcome, Request, Settlement

#: Seconds that an acknowledgement waits for others: each frame of them is an entry in
#: the quorum queue's log, flushed to disk beside the rows of the request it belongs to.
ACK_DELAY = 0.01

CONSUMER_TAG = "requests"
MAX_UNSETTLED_BYTES = 4 * 1024 * 1024


class Intake:
    """Consumes one queue over one connection, until that is lost or closed.

    ``flush_at`` is when :meth:`flush` is due, by the monotonic clock. While requests of
    ``max_bytes`` or more are unsettled, the rest stays in the socket.
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
        #: Tags delivered and not settled, in the order of their delivery: their bytes.
        self._unsettled: dict[Any, int] = {}
        self._unsettled_bytes = 0
        #: Whether something may have been read that nothing will tell of.
        self.is_behind = False
        #: Tags whose acknowledgement waits for company.
        self._acked: list[Any] = []

    def __str__(self) -> str:
        return f"the queue {self._queue.name} of {self.connection}"

    @property
    def queue_name(self) -> str:
        """The queue that it consumes."""
        return self._queue.name

    @property
    def errors(self) -> tuple[type[BaseException], ...]:
        """What it fails with when that is not a bug of ours."""
        return (*self.connection.errors, QueueMismatch)

    def open(self) -> None:
        """Connect, declare the queues and begin to consume, in bounded time.

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
        """Whether it has as many bytes as it may."""
        return self._unsettled_bytes >= self._max_bytes

    def receive(self) -> None:
        """Dispatch what has arrived, and stop when full: after one step at least, so
        that the broker is heard."""
        self.connection.receive(lambda: self.is_full)
        self.is_behind = self.is_full

    def _arrived(self, delivery: Delivery) -> None:
        self._unsettled[delivery.tag] = len(delivery.body)
        self._unsettled_bytes += len(delivery.body)
        request = Request(delivery, self)
        if not self.connection.is_reliable:
            # Redis drops nothing that waited too long: the time in the queue counts.
            request.arrived -= request.waited() or 0.0
        self._on_request(request)

    def send(self, outcomes: Sequence[tuple[Request, Outcome]]) -> None:
        """Publish the replies, then settle those deliveries that came by here.

        An outcome of an earlier connection has only its reply sent, while somebody may
        still wait for it: the broker has given its delivery to somebody else.
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
        """Send the acknowledgements that wait for company."""
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
        """Ask for no further requests; some may still arrive."""
        self.connection.cancel(CONSUMER_TAG)

    def close(self) -> None:
        """Say goodbye, in bounded time; what is unsettled returns to the queue."""
        self._on_request = lambda request: None
        self.flush()
        self.connection.close()
