"""Calls over one long-lived connection, owned by one I/O thread.

Callers, in any thread or event loop, submit a :class:`Call` and are notified when it is
done; none of them touches the connection. ``docs/RPC.md`` has a diagram.
"""

import math
import threading
import time
from collections import deque
from collections.abc import Callable
from functools import partial
from itertools import takewhile
from typing import Any
from uuid import uuid4

from chassis.errors import (
    ApplicationError,
    BrokerUnavailable,
    DeadlineExceeded,
    NoConsumer,
    OutcomeUnknown,
    QueueFull,
    TooManyInFlight,
)
from chassis.rpc import wire
from chassis.rpc.attempts import Attempts
from chassis.rpc.brokers import connections, new_connection
from chassis.rpc.call import Call
from chassis.rpc.connection import LEAVE_SECONDS, BrokerConnection, Delivery
from chassis.rpc.poller import Poller
from chassis.rpc.statistics import RpcStatistics
from chassis.rpc.tracing import watch_calls
from chassis.settings import RabbitMQSettings, RpcSettings

HEARTBEAT_CHECK = 1.0
EXPIRY_CHECK = 0.1
#: Seconds after the loss of a connection in which calls may wait for the next one: the
#: other nodes of a cluster take its place.
RECONNECT_WAIT = 2.0


class RpcClient:
    """Sends calls and matches replies to them.

    The number of pending calls is limited. Every call ends: with a reply, an error of
    the broker, its deadline, or the loss of the connection.
    """

    def __init__(self, rabbitmq: RabbitMQSettings, rpc: RpcSettings) -> None:
        self._rpc = rpc
        self._connections = connections(rabbitmq, rpc, "rpc")
        self._connection = new_connection(rabbitmq, rpc, "rpc")
        self._reply_to = ""
        self.statistics = RpcStatistics()
        self._pending: dict[str, Call] = {}
        self._unconfirmed: dict[int, Call] = {}
        self._sent = 0  # on this connection; the broker confirms by this number
        self._outbox: deque[Call] = deque()
        self._connected = threading.Event()
        self._lost = float("-inf")  # when the last connection was
        #: Called in the I/O thread at each new connection.
        self.on_connected: Callable[[], None] = lambda: None
        self._closing = threading.Event()
        # Makes two steps atomic: "is there a connection?" and "all pending calls fail".
        # No call may slip in between.
        self._lock = threading.Lock()
        self._poller = Poller()
        self._thread = threading.Thread(target=self._run, name="rpc-io", daemon=True)

    def start(self) -> None:
        """Start connecting in the background; a second call does nothing."""
        with self._lock:
            if self._thread.ident is None and not self._closing.is_set():
                watch_calls(self, self.system)
                self._thread.start()

    @property
    def connected(self) -> bool:
        """Whether a call would be sent at once."""
        return self._connected.is_set()

    @property
    def reconnect_wait(self) -> float:
        """Seconds that a call should wait for a connection; 0 in a lasting outage."""
        if self.connected or self._closing.is_set():
            return 0.0
        return max(0.0, self._lost + RECONNECT_WAIT - time.monotonic())

    @property
    def refusal(self) -> str | None:
        """Why a call cannot be sent now; None if it can."""
        if not self.connected:
            return "There is no connection to RabbitMQ."
        if reason := self._connection.blocked:
            return f"RabbitMQ accepts no messages: {reason}."
        return None

    @property
    def system(self) -> str:
        """The message broker, by OpenTelemetry's name for it."""
        return self._connection.system

    @property
    def in_flight(self) -> int:
        """Number of calls that wait for their answer."""
        return len(self._pending)

    def wait_connected(self, timeout: float) -> bool:
        """Block until connected; False if that takes longer than ``timeout``."""
        return self._connected.wait(timeout)

    def submit(self, call: Call) -> None:
        """Submit a call; thread-safe, never blocks.

        Raises:
            BrokerUnavailable: there is no connection.
            TooManyInFlight: too many calls are pending.
        """
        with self._lock:
            if not self.connected:
                raise BrokerUnavailable("There is no connection to RabbitMQ.")
            if len(self._pending) >= self._rpc.max_in_flight:
                raise TooManyInFlight("This process has too many calls in flight.")
            self._pending[call.id] = call
            self._outbox.append(call)
        self._poller.wake()

    def forget(self, call: Call) -> None:
        """The caller stopped waiting: drop the reply to this call."""
        self._pending.pop(call.id, None)

    def close(self, timeout: float = 5.0) -> None:
        """Close the connection; pending calls fail. Returns within ``timeout``."""
        if self._closing.is_set():
            return
        self._closing.set()
        self._poller.interrupt()
        if self._thread.ident is not None:
            self._thread.join(timeout)
        if not self._thread.is_alive():
            self._poller.close()

    # The rest runs in the I/O thread.

    def _run(self) -> None:
        attempts = Attempts(self._connection)
        while not self._closing.is_set():
            connection = self._connection = next(self._connections)
            pause = 0.0
            try:
                connection.open(partial(self._set_up, connection))
                attempts.succeeded()
                self._connected.set()
                self.on_connected()
                self._serve(connection)
                connection.close()
            except Exception as error:  # also for a bug of ours: callers must not hang
                pause = attempts.failed(error, connection)
            finally:
                self._poller.watch(())
                self._fail_all()
                connection.drop()
            self._closing.wait(pause)

    def _set_up(self, connection: BrokerConnection, channel: Any) -> None:
        self._reply_to = f"rpc.reply.{uuid4()}"
        channel.queue_declare(
            queue=self._reply_to, durable=False, exclusive=True, auto_delete=True
        )
        connection.consume(self._reply_to, self._on_reply, tag="replies", no_ack=True)
        if connection.is_reliable:
            channel.confirm_select()
            channel.events["basic_ack"].add(partial(self._on_confirm, True))
            channel.events["basic_nack"].add(partial(self._on_confirm, False))
            channel.events["basic_return"].add(self._on_return)

    def _serve(self, connection: BrokerConnection) -> None:
        next_heartbeat = next_expiry = 0.0
        leave_by = math.inf
        while not self._closing.is_set():
            self._poller.watch(connection.descriptors)
            self._poller.arm()
            if self._outbox:
                with connection.one_write():
                    self._send_all(connection)
            if self._poller.wait(EXPIRY_CHECK if self._pending else HEARTBEAT_CHECK):
                connection.receive()
            if connection.blocked is not None and self._unconfirmed:
                self._fail_unconfirmed()
            now = time.monotonic()
            if now >= next_heartbeat:
                connection.heartbeat()
                next_heartbeat = now + HEARTBEAT_CHECK
            if self._pending and now >= next_expiry:
                self._expire(now)
                next_expiry = now + EXPIRY_CHECK
            if connection.is_leaving:
                leave_by = min(leave_by, now + LEAVE_SECONDS)
                self._hold_new_calls(now)
                if not self._pending or now >= leave_by:
                    return

    def _hold_new_calls(self, now: float) -> None:
        """They wait for the next connection, as after a loss."""
        with self._lock:
            self._connected.clear()
            self._lost = now

    def _send_all(self, connection: BrokerConnection) -> None:
        while self._outbox:
            call = self._outbox.popleft()
            left = call.deadline - time.monotonic()
            if call.id not in self._pending or left <= 0:
                continue  # forgotten meanwhile, or about to expire
            if connection.blocked is not None:
                self._fail(call, BrokerUnavailable(self.refusal or ""))
                continue
            self._sent += 1
            call.tag = self._sent
            if connection.is_reliable:
                self._unconfirmed[call.tag] = call
            milliseconds = max(1, int(left * 1000))
            connection.publish(
                call.queue,
                call.body,
                {
                    **call.headers,
                    wire.TIME_LEFT: milliseconds,
                    wire.SENT_AT: int(connection.now() * 1000),
                },
                mandatory=True,
                correlation_id=call.id,
                reply_to=self._reply_to,
                expiration=str(milliseconds),
            )

    def _on_reply(self, delivery: Delivery) -> None:
        call_id = delivery.properties.get("correlation_id", "")
        call = self._pending.pop(call_id, None)
        if call is None:
            self.statistics.dropped_replies += 1  # too late, or not ours
            return
        self.statistics.answer(time.monotonic() - call.started)
        try:
            call.reply = wire.decode_reply(delivery.body, delivery.headers)
        except ApplicationError as error:
            call.error = error
        call.on_done(call)

    def _on_return(self, _error: Any, _exchange: str, queue: str, message: Any) -> None:
        call = self._pending.get(message.properties["correlation_id"])
        if call is not None:
            detail = f"The queue {queue} does not exist: its service has never run."
            self._fail(call, NoConsumer(detail))

    def _on_confirm(self, accepted: bool, tag: int, multiple: bool) -> None:
        """The broker accepted or refused the ``tag``-th request, or all up to it."""
        tags = [tag]
        if multiple:  # tags increase, and a dict keeps insertion order
            tags = list(takewhile(lambda known: known <= tag, self._unconfirmed))
        for known in tags:
            call = self._unconfirmed.pop(known, None)
            if call is not None and not accepted:
                self._fail(call, QueueFull(f"The queue {call.queue} is full."))

    def _expire(self, now: float) -> None:
        for call in [c for c in self._pending.copy().values() if c.deadline <= now]:
            self.statistics.timeouts += 1
            detail = f"No answer from {call.queue} within {call.timeout:g} s."
            self._fail(call, DeadlineExceeded(detail))

    def _fail_unconfirmed(self) -> None:
        """The broker may accept these when its alarm ends, or may just have done so."""
        stuck, self._unconfirmed = self._unconfirmed, {}
        for call in stuck.values():
            self._fail(call, OutcomeUnknown(self.refusal or ""))

    def _fail_all(self) -> None:
        with self._lock:
            if self.connected:
                self._lost = time.monotonic()
            self._connected.clear()
            self._outbox.clear()
            lost = list(self._pending.values())
        self._unconfirmed.clear()
        self._sent = 0
        for call in lost:
            if call.tag is None:
                self._fail(call, BrokerUnavailable("The connection was lost."))
            else:
                detail = "The connection was lost; the work may have been done."
                self._fail(call, OutcomeUnknown(detail))

    def _fail(self, call: Call, error: ApplicationError) -> None:
        if self._pending.pop(call.id, None) is not None:
            call.error = error
            call.on_done(call)
