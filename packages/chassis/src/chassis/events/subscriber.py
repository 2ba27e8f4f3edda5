"""EventSubscriber: receives the events of one pattern for one service."""

import logging
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from chassis.events.handlers import Handler
from chassis.events.handling import EventHandler, report_events
from chassis.events.intake import EventIntake
from chassis.events.topology import Subscription
from chassis.events.tracing import TracedEventHandler
from chassis.heartbeat import Heartbeat
from chassis.rpc.backoff import Backoff
from chassis.rpc.brokers import connections, new_connection
from chassis.rpc.loop import ReceiverLoop
from chassis.rpc.poller import Poller
from chassis.rpc.tracing import Handle
from chassis.rpc.wire import Request
from chassis.rpc.workers import WorkerPool
from chassis.settings import RabbitMQSettings, RpcSettings, ServiceSettings
from chassis.signals import stopped_by_signals
from chassis.telemetry import tracing

if TYPE_CHECKING:  # it imports psycopg2, which most services do without
    from chassis.events.inbox import Inbox

logger = logging.getLogger(__name__)

NO_EVENTS = "Calls go over Redis, which has no events: none come for %s"


class EventSubscriber:
    """Handles the events of a subscription one after the other, in order.

    Args:
        inbox: for a handler that takes a cursor.
        service_name: the name that RabbitMQ shows for this process.
        shutdown_grace_seconds: how long it waits for a running handler when it stops.
    """

    def __init__(
        self,
        subscription: Subscription,
        handler: Handler,
        inbox: "Inbox | None",
        *,
        service_name: str,
        rabbitmq: RabbitMQSettings,
        rpc: RpcSettings,
        shutdown_grace_seconds: float,
        heartbeat: Heartbeat,
    ) -> None:
        self._subscription = subscription
        self._inbox = inbox
        self._heartbeat = heartbeat
        self._stopping = threading.Event()
        self._connections = connections(rabbitmq, rpc, service_name)
        broker = new_connection(rabbitmq, rpc, service_name)
        self._has_events = broker.is_reliable
        self._handler = EventHandler(subscription.name, handler, inbox)
        handle: Handle = self._handler
        if tracing.is_enabled():
            handle = TracedEventHandler(handle, subscription, broker.system)
        self._poller = Poller()
        self._pool = WorkerPool(handle, 1, self._poller.wake)
        self._loop = ReceiverLoop(
            self._new_intake,
            self._pool,
            self._poller,
            shutdown_grace_seconds,
            heartbeat.touch,
            heartbeat.set_connected,
            report_events,
        )

    def run(self) -> None:
        """Receive until SIGTERM, SIGINT or :meth:`stop`, then drain. Call it once."""
        try:
            with stopped_by_signals(self.stop):
                if not self._has_events:
                    logger.warning(NO_EVENTS, self._subscription.pattern)
                    self._heartbeat.set_connected(True)
                    self._wait_until(lambda: False)
                elif self._inbox is None or self._wait_until(self._is_prepared):
                    self._loop.run()
        finally:
            self._pool.stop()
            self._poller.close()

    def stop(self) -> None:
        """Begin to drain, from any thread; ``run`` returns when that is done."""
        self._stopping.set()
        self._handler.stop()
        self._loop.stop()

    def _new_intake(self, on_request: Callable[[Request], None]) -> EventIntake:
        return EventIntake(next(self._connections), self._subscription, on_request)

    def _is_prepared(self) -> bool:
        assert self._inbox
        try:
            self._inbox.prepare()
        except Exception as error:
            self._inbox.lost(error)
            return False
        self._inbox.restored()
        return True

    def _wait_until(self, is_done: Callable[[], bool]) -> bool:
        """Whether it is done before the stop."""
        backoff = Backoff()
        while not self._stopping.is_set():
            self._heartbeat.touch()
            if is_done():
                return True
            self._stopping.wait(backoff.next_delay())
        return False


def new_subscriber(
    handler: Handler,
    own: ServiceSettings,
    heartbeat: Heartbeat,
    *,
    name: str,
    shown: str,
    tables: str,
) -> EventSubscriber:
    """The subscriber of a service's handler. Exits with a message if a setting that it
    needs is missing or invalid."""
    inbox = None
    if handler.takes_cursor:
        from chassis.events.inbox import Inbox

        try:
            inbox = Inbox(own.events, name, tables)
        except ValueError as error:
            raise SystemExit(str(error)) from None
    return EventSubscriber(
        Subscription(name, handler.pattern, own.events.exchange),
        handler,
        inbox,
        service_name=shown,
        rabbitmq=own.rabbitmq,
        rpc=own.rpc,
        shutdown_grace_seconds=own.shutdown_grace_seconds,
        heartbeat=heartbeat,
    )
