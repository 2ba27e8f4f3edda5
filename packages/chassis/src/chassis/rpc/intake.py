"""A service's connection: receives requests, sends replies and settlements."""

import math
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from chassis.rpc.connection import IO_TIMEOUT, BrokerConnection, Delivery
from chassis.rpc.topology import DELIVERY_LIMIT, DeclaredQueue, QueueMismatch
from chassis.rpc.wire import Outcome, Request, Settlement

#: Seconds that an acknowledgement waits for others. Each frame is an entry in the
#: quorum queue's log, whose disk flush competes with those of PostgreSQL.
ACK_DELAY = 0.01

CONSUMER_TAG, LONE_CONSUMER_TAG = "requests", "requests-one-at-a-time"
#: A request on this delivery or a later one may have ended a process, so it runs alone.
#: On the second, many innocent ones have only failed, or were in a stopped process.
SUSPECT_DELIVERY = DELIVERY_LIMIT
MAX_UNSETTLED_BYTES = 4 * 1024 * 1024


class Intake:
    """Consumes one queue over one connection until it is lost or closed.

    ``flush_at`` is when :meth:`flush` is due, by the monotonic clock. While requests of
    ``max_bytes`` or more are unsettled, further ones stay in the socket.

    A request that ends the process returns to the queue with all that were fetched, and
    each of them counts one more delivery. So that none is dead-lettered for another's
    crash, returned requests run alone: a new intake fetches one at a time until it gets
    one for the first time, and later it stops to fetch when it gets suspects. With a
    ``prefetch`` of 1 it always fetches one at a time, in the order of the queue.
    """

    def __init__(
        self,
        connection: BrokerConnection,
        queue: DeclaredQueue,
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
        #: Suspects that wait until nothing else runs.
        self._suspects: deque[Request] = deque()
        #: The tag of its consumer; None while it fetches nothing.
        self._consumer: str | None = None
        #: Whether it may fetch several requests at a time.
        self._trusts = False
        self._cancelled = False
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
        self._adjust()

    def _set_up(self, channel: Any) -> None:
        self._queue.declare(channel)
        # Redis counts no deliveries.
        self._trusts = not self.connection.is_reliable
        self._consume(channel)

    def _consume(self, channel: Any) -> None:
        self._consumer = CONSUMER_TAG if self._trusts else LONE_CONSUMER_TAG
        channel.basic_qos(0, self._prefetch if self._trusts else 1, False)
        self.connection.consume(self._queue.name, self._arrived, tag=self._consumer)

    def _adjust(self) -> None:
        """Fetch as many requests at a time as the last ones allow."""
        if self._cancelled or not self.connection.is_reliable:
            return
        if self._suspects and self._consumer == CONSUMER_TAG:
            self._stop_consumer()
            self._trusts = False
        elif self._trusts and self._consumer == LONE_CONSUMER_TAG:
            self._stop_consumer()
        if self._consumer is None and (self._trusts or not self._unsettled):
            with self.connection.within(IO_TIMEOUT):
                self._consume(self.connection.channel)
            # No descriptor reports what came with the broker's answer.
            if self.is_full:
                self.is_behind = True
            else:
                self.connection.receive(lambda: self.is_full)
        self._run_suspect()

    def _stop_consumer(self) -> None:
        if self._consumer is not None:
            self.connection.cancel(self._consumer)
            self._consumer = None

    def _run_suspect(self) -> None:
        if self._suspects and len(self._suspects) == len(self._unsettled):
            # If it ends the process, the finished ones must not return.
            self.flush()
            # On the next delivery from the other end: those behind the guilty one also
            # get their turn.
            is_first = self._suspects[0].attempt == SUSPECT_DELIVERY
            take = self._suspects.popleft if is_first else self._suspects.pop
            self._on_request(take())

    @property
    def is_full(self) -> bool:
        """Whether it holds as many bytes as allowed."""
        return self._unsettled_bytes >= self._max_bytes

    def receive(self) -> None:
        """Dispatch received messages, and stop when full. It does at least one step, to
        process the broker's heartbeats."""
        self.connection.receive(lambda: self.is_full)
        self._adjust()
        self.is_behind = self.is_full

    def _arrived(self, delivery: Delivery) -> None:
        self._unsettled[delivery.tag] = len(delivery.body)
        self._unsettled_bytes += len(delivery.body)
        request = Request(delivery, self)
        if not self.connection.is_reliable:
            # Redis does not drop expired messages: count the time in the queue.
            request.arrived -= request.waited(self.connection.now()) or 0.0
        if self._consumer != LONE_CONSUMER_TAG and request.attempt >= SUSPECT_DELIVERY:
            self._suspects.append(request)
            return
        self._trusts = self._trusts or self._prefetch > 1 and request.attempt == 1
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
            if self._consumer != CONSUMER_TAG or len(self._acked) > self._prefetch // 4:
                self._acknowledge()
        if self._acked and self.flush_at == math.inf:
            self.flush_at = time.monotonic() + ACK_DELAY
        self._adjust()

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
        self._stop_consumer()
        self._cancelled = True

    def close(self) -> None:
        """Close, in limited time; unsettled requests return to the queue."""
        self._on_request = lambda request: None
        self.flush()
        self.connection.close()
