"""Calls over one long-lived connection, owned by one I/O thread.

Callers, in any thread or event loop, hand in a :class:`Call` and are told when it
is done; none of them ever touches the connection. ``docs/RPC.md`` draws it.
"""

import logging
import os
import random
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import takewhile
from typing import Any

from kombu.message import Message

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
from app.infrastructure.rpc.link import Link
from app.infrastructure.rpc.statistics import RpcStatistics

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
        self._outbox: deque[Call] = deque()
        self._connected = threading.Event()
        self._closing = threading.Event()
        # Orders "is there a connection?" and "all pending calls fail": a call must
        # not slip in between the two.
        self._lock = threading.Lock()
        self._wake_pending = False
        self._wake_read, self._wake_write = os.pipe()
        os.set_blocking(self._wake_read, False)
        os.set_blocking(self._wake_write, False)
        self._thread = threading.Thread(target=self._run, name="rpc-io", daemon=True)

    def start(self) -> None:
        """Start connecting, in the background."""
        self._thread.start()

    @property
    def connected(self) -> bool:
        """Whether a call would be sent at once."""
        return self._connected.is_set()

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
        self._wake()

    def forget(self, call: Call) -> None:
        """Nobody waits for this call any more: its reply will be dropped."""
        self._pending.pop(call.id, None)

    def close(self, timeout: float = 5.0) -> None:
        """End the connection; pending calls fail. Returns within ``timeout``."""
        if self._closing.is_set():
            return
        self._closing.set()
        self._wake()
        if self._thread.ident is not None:
            self._thread.join(timeout)
        if not self._thread.is_alive():
            os.close(self._wake_read)
            os.close(self._wake_write)
            self._wake_pending = True

    def _wake(self) -> None:
        if not self._wake_pending:
            self._wake_pending = True
            try:
                os.write(self._wake_write, b".")
            except BlockingIOError:
                pass  # the pipe is full of wake-ups already

    # What follows runs in the I/O thread.

    def _run(self) -> None:
        delay = RECONNECT_FIRST
        while not self._closing.is_set():
            link = Link(
                self._rabbitmq,
                self._rpc,
                wake_fd=self._wake_read,
                on_reply=self._on_reply,
                on_return=self._on_return,
                on_confirm=self._on_confirm,
            )
            try:
                link.open()
                logger.info("Connected to the message broker")
                delay = RECONNECT_FIRST
                self._connected.set()
                self._serve(link)
            except link.errors as error:
                logger.warning("No connection to the message broker: %r", error)
            except Exception:  # a bug of ours: start afresh rather than hang callers
                logger.exception("The RPC connection failed")
            self._fail_all()
            self._leave(link)
            self._closing.wait(delay * random.uniform(0.5, 1))  # nosec: jitter
            delay = min(delay * 2, RECONNECT_LONGEST)

    def _leave(self, link: Link) -> None:
        if self._closing.is_set():
            try:
                link.close()
                return
            except Exception:
                logger.debug("The connection was broken already", exc_info=True)
        link.drop()

    def _serve(self, link: Link) -> None:
        next_heartbeat = next_expiry = 0.0
        while not self._closing.is_set():
            now = time.monotonic()
            if now >= next_heartbeat:
                link.heartbeat()
                next_heartbeat = now + HEARTBEAT_CHECK
            if self._pending and now >= next_expiry:
                self._expire(now)
                next_expiry = now + EXPIRY_CHECK
            self._publish_all(link)
            link.wait(EXPIRY_CHECK if self._pending else HEARTBEAT_CHECK)

    def _publish_all(self, link: Link) -> None:
        if self._wake_pending:
            try:
                os.read(self._wake_read, 4096)
            except BlockingIOError:
                pass
            self._wake_pending = False  # before looking: a later call wakes again
        while self._outbox:
            call = self._outbox.popleft()
            if call.id not in self._pending:  # forgotten meanwhile
                continue
            if link.blocked_reason is not None:
                reason = f"RabbitMQ takes no messages: {link.blocked_reason}"
                self._fail(call, BrokerUnavailable(reason))
                continue
            left = call.deadline - time.monotonic()
            if left <= 0:
                continue  # the next tick ends it
            properties = {
                "correlation_id": call.id,
                "expiration": str(max(1, int(left * 1000))),
            }
            headers = {
                **call.headers,
                wire.DEADLINE: int((time.time() + left) * 1000),
            }
            call.tag = link.publish(call.queue, call.body, properties, headers)
            self._unconfirmed[call.tag] = call

    def _on_reply(self, message: Message) -> None:
        call = self._pending.pop(message.properties.get("correlation_id", ""), None)
        if call is None:
            self.statistics.dropped_replies += 1  # too late, or not ours
            return
        self.statistics.answer(time.monotonic() - call.started)
        try:
            call.reply = wire.decode(message.body, message.headers)
        except ApplicationError as error:
            call.error = error
            self.statistics.failures[error.code] += 1
        call.on_done(call)

    def _on_return(self, call_id: str) -> None:
        call = self._pending.get(call_id)
        if call is not None:
            queue = call.queue
            self._fail(call, NoConsumer(f"Nobody has declared the queue {queue}."))

    def _on_confirm(self, accepted: bool, tag: int, multiple: bool) -> None:
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
