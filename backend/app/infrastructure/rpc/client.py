"""Calls over one long-lived connection, owned by one I/O thread.

Callers, in any thread or event loop, hand in a :class:`Call` and are told when it
is done; none of them ever touches the connection. ``docs/RPC.md`` draws it.
"""

import logging
import random
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import takewhile
from typing import Any

from app.core import tracing
from app.core.config import RabbitMQSettings, RpcSettings
from app.core.exceptions import (
    ApplicationError,
    BrokerUnavailable,
    DeadlineExceeded,
    NoConsumer,
    OutcomeUnknown,
    QueueFull,
    TooManyInFlight,
)
from app.infrastructure.rpc import wire
from app.infrastructure.rpc.amqp_link import AmqpLink
from app.infrastructure.rpc.link import Link, Outgoing
from app.infrastructure.rpc.poller import Poller
from app.infrastructure.rpc.redis_link import RedisLink
from app.infrastructure.rpc.statistics import RpcStatistics
from app.infrastructure.rpc.tracing import watch_calls

logger = logging.getLogger(__name__)

HEARTBEAT_CHECK = 1.0
EXPIRY_CHECK = 0.1
RECONNECT_FIRST = 0.1
RECONNECT_LONGEST = 2.0


@dataclass(slots=True, eq=False)
class Call:
    """One request on its way. ``on_done`` runs in the I/O thread and must be quick."""

    id: str
    queue: str
    body: bytes
    headers: dict[str, Any]
    timeout: float
    on_done: Callable[["Call"], None]
    started: float = field(default_factory=time.monotonic)
    reply: wire.Reply | None = None
    error: ApplicationError | None = None
    tag: int | None = None

    @property
    def deadline(self) -> float:
        """When nobody waits any more, by ``time.monotonic()``."""
        return self.started + self.timeout


class RpcClient:
    """Sends calls and matches replies to them.

    The pending calls are bounded, every one ends: with a reply, an error of the
    broker, its deadline, or the loss of the connection.
    """

    def __init__(self, rabbitmq: RabbitMQSettings, rpc: RpcSettings) -> None:
        self._rabbitmq = rabbitmq
        self._rpc = rpc
        self.statistics = RpcStatistics()
        self._pending: dict[str, Call] = {}
        self._unconfirmed: dict[int, Call] = {}
        self._sent = 0  # on this link: the broker confirms by this number
        self._outbox: deque[Call] = deque()
        self._connected = threading.Event()
        self._closing = threading.Event()
        # Orders "is there a connection?" and "all pending calls fail": a call must
        # not slip in between the two.
        self._lock = threading.Lock()
        self._poller = Poller()
        self._thread = threading.Thread(target=self._run, name="rpc-io", daemon=True)

    def start(self) -> None:
        """Start connecting, in the background."""
        if tracing.on():
            watch_calls(lambda: self.in_flight, self.system)
        self._thread.start()

    @property
    def connected(self) -> bool:
        """Whether a call would be sent at once."""
        return self._connected.is_set()

    @property
    def system(self) -> str:
        """What carries the messages, by the name that OpenTelemetry has for it."""
        return "redis" if self._rpc.broker_url else "rabbitmq"

    @property
    def in_flight(self) -> int:
        """Calls that wait for their answer."""
        return len(self._pending)

    def wait_connected(self, timeout: float) -> bool:
        """Block until connected; False if that takes longer than ``timeout``."""
        return self._connected.wait(timeout)

    def submit(self, call: Call) -> None:
        """Hand in a call; thread-safe, never blocks.

        Raises:
            BrokerUnavailable: there is no connection at the moment.
            TooManyInFlight: as many calls as allowed are pending.
        """
        with self._lock:
            if not self.connected:
                raise BrokerUnavailable("There is no connection to RabbitMQ.")
            if len(self._pending) >= self._rpc.max_in_flight:
                raise TooManyInFlight("Too many calls wait for their answer.")
            self._pending[call.id] = call
            self._outbox.append(call)
        self._poller.wake()

    def forget(self, call: Call) -> None:
        """Nobody waits for this call any more: its reply will be dropped."""
        self._pending.pop(call.id, None)

    def close(self, timeout: float = 5.0) -> None:
        """End the connection; pending calls fail. Returns within ``timeout``."""
        if self._closing.is_set():
            return
        self._closing.set()
        self._poller.wake()
        if self._thread.ident is not None:
            self._thread.join(timeout)
        if not self._thread.is_alive():
            self._poller.close()

    # What follows runs in the I/O thread.

    def _run(self) -> None:
        delay = RECONNECT_FIRST
        while not self._closing.is_set():
            link = self._new_link()
            try:
                link.open()
                logger.info("Connected to the message broker")
                delay = RECONNECT_FIRST
                self._connected.set()
                self._serve(link)
                link.close()
            except link.errors as error:
                logger.warning("No connection to the message broker: %r", error)
            except Exception:  # a bug of ours: start afresh rather than hang callers
                logger.exception("The RPC connection failed")
            finally:
                self._poller.watch(())
                self._fail_all()
                link.drop()
            self._closing.wait(delay * random.uniform(0.5, 1))  # nosec: jitter
            delay = min(delay * 2, RECONNECT_LONGEST)

    def _new_link(self) -> Link:
        if self._rpc.broker_url is not None:
            return RedisLink(self._rpc.broker_url.get_secret_value(), self)
        return AmqpLink(self._rabbitmq, self)

    def _serve(self, link: Link) -> None:
        next_heartbeat = next_expiry = 0.0
        while not self._closing.is_set():
            self._poller.watch(link.descriptors)
            self._poller.arm()
            if self._outbox:
                link.send(list(self._take_outbox(link)))
            if self._poller.wait(EXPIRY_CHECK if self._pending else HEARTBEAT_CHECK):
                link.receive()
            now = time.monotonic()
            if now >= next_heartbeat:
                link.heartbeat()
                next_heartbeat = now + HEARTBEAT_CHECK
            if self._pending and now >= next_expiry:
                self._expire(now)
                next_expiry = now + EXPIRY_CHECK

    def _take_outbox(self, link: Link) -> Iterator[Outgoing]:
        while self._outbox:
            call = self._outbox.popleft()
            left = call.deadline - time.monotonic()
            if call.id not in self._pending or left <= 0:
                continue  # forgotten meanwhile, or about to be ended
            if link.blocked is not None:
                reason = f"RabbitMQ takes no messages: {link.blocked}."
                self._fail(call, BrokerUnavailable(reason))
                continue
            self._sent += 1
            call.tag = self._sent
            self._unconfirmed[call.tag] = call
            deadline = int((time.time() + left) * 1000)
            headers = {**call.headers, wire.DEADLINE: deadline}
            expiration = max(1, int(left * 1000))
            yield Outgoing(call.queue, call.body, call.id, expiration, headers)

    def on_reply(
        self, correlation_id: str | None, body: str | bytes, headers: dict[str, Any]
    ) -> None:
        """A link's event."""
        call = self._pending.pop(correlation_id or "", None)
        if call is None:
            self.statistics.dropped_replies += 1  # too late, or not ours
            return
        self.statistics.answer(time.monotonic() - call.started)
        try:
            call.reply = wire.decode(body, headers)
        except ApplicationError as error:
            call.error = error
            self.statistics.failures[error.code] += 1
        call.on_done(call)

    def on_return(self, correlation_id: str) -> None:
        """A link's event."""
        call = self._pending.get(correlation_id)
        if call is not None:
            queue = call.queue
            self._fail(call, NoConsumer(f"Nobody has declared the queue {queue}."))

    def on_confirm(self, accepted: bool, tag: int, multiple: bool) -> None:
        """A link's event."""
        tags = [tag]
        if multiple:  # tags rise, and a dict keeps their order
            tags = list(takewhile(lambda known: known <= tag, self._unconfirmed))
        for known in tags:
            call = self._unconfirmed.pop(known, None)
            if call is not None and not accepted:
                self._fail(call, QueueFull(f"The queue {call.queue} is full."))

    def _expire(self, now: float) -> None:
        for call in [c for c in self._pending.copy().values() if c.deadline <= now]:
            self.statistics.timeouts += 1
            seconds = f"{call.timeout:g} s"
            self._fail(
                call,
                DeadlineExceeded(f"No answer from {call.queue} within {seconds}."),
            )

    def _fail_all(self) -> None:
        with self._lock:
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
            self.statistics.failures[error.code] += 1
            call.error = error
            call.on_done(call)
