"""Listens to all events of the exchange, from now on, over a queue of its own.

A listener may miss events: the queue is bounded and vanishes with its connection. The
sequence in ``previous`` of the next event tells.
"""

import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any
from uuid import uuid4

from chassis.events.event import InvalidEvent
from chassis.events.published import PublishedEvent
from chassis.events.topology import events_exchange
from chassis.rpc.attempts import Attempts
from chassis.rpc.brokers import connections, new_connection
from chassis.rpc.connection import BrokerConnection, Delivery
from chassis.rpc.poller import Poller
from chassis.settings import RabbitMQSettings, RpcSettings

HEARTBEAT_CHECK = 1.0

#: The API's own queues, one for each process: ``events.api.<random>``.
API_QUEUES = "events.api"
#: Limits of such a queue; beyond them, the broker drops the oldest.
MAX_WAITING = 10_000
MAX_WAITING_BYTES = 64 * 1024 * 1024


class EventListener:
    """Calls ``on_event`` in its own thread, for each event of the exchange.

    It reconnects as long as it runs, to another node if there are several.
    """

    def __init__(
        self,
        rabbitmq: RabbitMQSettings,
        rpc: RpcSettings,
        exchange: str,
        on_event: Callable[[PublishedEvent], None],
    ) -> None:
        self._exchange = exchange
        self._on_event = on_event
        self._connections = connections(rabbitmq, rpc, "events")
        self._what = f"the events of {new_connection(rabbitmq, rpc, 'events')}"
        self._stopping = threading.Event()
        self._poller = Poller()
        self._thread = threading.Thread(target=self._run, name="events", daemon=True)

    def start(self) -> None:
        """Start to connect in the background."""
        self._thread.start()

    def stop(self) -> None:
        """Begin to stop; never waits."""
        if not self._stopping.is_set():
            self._stopping.set()
            self._poller.interrupt()

    def join(self, timeout: float = 5.0) -> None:
        """Wait for the end of the thread."""
        self._thread.join(timeout)

    # The rest runs in the thread.

    def _run(self) -> None:
        attempts = Attempts(self._what)
        while not self._stopping.is_set():
            connection = next(self._connections)
            pause = 0.0
            try:
                connection.open(partial(self._set_up, connection))
                attempts.succeeded()
                self._serve(connection)
                connection.close()
            except Exception as error:
                pause = attempts.failed(error, connection)
            finally:
                self._poller.watch(())
                connection.drop()
            self._stopping.wait(pause)
        self._poller.close()

    def _set_up(self, connection: BrokerConnection, channel: Any) -> None:
        queue = f"{API_QUEUES}.{uuid4()}"
        events_exchange(self._exchange)(channel).declare()
        channel.queue_declare(
            queue=queue,
            durable=False,
            exclusive=True,
            auto_delete=True,
            arguments={
                "x-max-length": MAX_WAITING,
                "x-max-length-bytes": MAX_WAITING_BYTES,
                "x-overflow": "drop-head",
            },
        )
        channel.queue_bind(queue=queue, exchange=self._exchange, routing_key="#")
        connection.consume(queue, self._arrived, tag="events", no_ack=True)

    def _serve(self, connection: BrokerConnection) -> None:
        next_heartbeat = 0.0
        while not (self._stopping.is_set() or connection.is_leaving):
            self._poller.watch(connection.descriptors)
            if self._poller.wait(HEARTBEAT_CHECK):
                connection.receive()
            now = time.monotonic()
            if now >= next_heartbeat:
                connection.heartbeat()
                next_heartbeat = now + HEARTBEAT_CHECK

    def _arrived(self, delivery: Delivery) -> None:
        try:
            event = PublishedEvent.read(delivery.body, delivery.headers)
        except InvalidEvent:
            return  # the next event says that this one is missing
        self._on_event(event)
