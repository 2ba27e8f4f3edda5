"""EventReceiver: serves one queue with one service class."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from chassis.heartbeat import Heartbeat, HeartbeatFile
from chassis.rpc.brokers import connections, new_connection
from chassis.rpc.handling import (
    MAX_RESULT_BYTES,
    MAX_VALUES,
    JsonService,
    RequestHandler,
)
from chassis.rpc.intake import MAX_UNSETTLED_BYTES, Intake
from chassis.rpc.loop import ReceiverLoop
from chassis.rpc.poller import Poller
from chassis.rpc.topology import DELIVERY_LIMIT, RequestQueue
from chassis.rpc.tracing import Handle, TracedHandler
from chassis.rpc.wire import Request
from chassis.rpc.workers import WorkerPool
from chassis.settings import RabbitMQSettings, RpcSettings
from chassis.signals import stopped_by_signals
from chassis.telemetry import tracing

DEFAULT_CONCURRENCY = 32
#: Below the 30 s that Kubernetes waits between SIGTERM and SIGKILL.
DEFAULT_GRACE_SECONDS = 25.0


class EventReceiver:
    """Receives requests from ``queue_name`` and answers each with ``service().call()``.

    Args:
        username, password, host, port: of RabbitMQ. Missing ones come from the
            variables RABBITMQ_*, and RPC_BROKER_URL replaces all of them.
        service: the class. Its one instance is called from ``concurrency`` threads.
        service_name: the name that RabbitMQ shows for this process.
        max_unsettled_bytes: it fetches no more requests while it holds this many bytes.
        max_values: the most JSON values that a request may have; others are refused.
        max_result_bytes: the longest answer; longer ones are refused.
        shutdown_grace_seconds: how long it waits for running requests when it stops.
        heartbeat_file: touched every second while the receiver works. A file of this
            name with ``.connected`` exists while it consumes.
        heartbeat: replaces that file.
    """

    def __init__(
        self,
        *,
        queue_name: str,
        service: Callable[[], JsonService],
        service_name: str,
        username: str | None = None,
        password: str | None = None,
        host: str | None = None,
        port: int | None = None,
        rabbitmq: RabbitMQSettings | None = None,
        rpc: RpcSettings | None = None,
        concurrency: int = DEFAULT_CONCURRENCY,
        max_unsettled_bytes: int = MAX_UNSETTLED_BYTES,
        max_values: int = MAX_VALUES,
        max_result_bytes: int = MAX_RESULT_BYTES,
        shutdown_grace_seconds: float = DEFAULT_GRACE_SECONDS,
        heartbeat_file: Path | None = None,
        heartbeat: Heartbeat | None = None,
    ) -> None:
        given: dict[str, Any] = {
            "user": username,
            "password": password,
            "host": host,
            "port": port,
        }
        given = {name: value for name, value in given.items() if value is not None}
        rabbitmq, rpc = rabbitmq or RabbitMQSettings(**given), rpc or RpcSettings()
        self._connections = connections(rabbitmq, rpc, service_name)
        broker = new_connection(rabbitmq, rpc, service_name)
        self._queue = RequestQueue(queue_name)
        self._concurrency = concurrency
        self._max_unsettled_bytes = max_unsettled_bytes
        self._poller = Poller()
        limit = DELIVERY_LIMIT if broker.is_reliable else 1
        handler: Handle = RequestHandler(
            service(), limit, max_values=max_values, max_result_bytes=max_result_bytes
        )
        if tracing.is_enabled():
            handler = TracedHandler(handler, queue_name, broker.system)
        self._pool = WorkerPool(handler, concurrency, self._poller.wake)
        if heartbeat_file:
            heartbeat = heartbeat or HeartbeatFile(heartbeat_file)
        self._loop = ReceiverLoop(
            self._new_intake,
            self._pool,
            self._poller,
            shutdown_grace_seconds,
            heartbeat.touch if heartbeat else lambda: None,
            heartbeat.set_connected if heartbeat else lambda _: None,
        )

    def run(self) -> None:
        """Serve until SIGTERM, SIGINT or :meth:`stop`, then drain. Call it once.

        A second signal ends the process at once. Outside the main thread it handles no
        signals.
        """
        try:
            with stopped_by_signals(self.stop):
                self._loop.run()
        finally:
            self._pool.stop()
            self._poller.close()

    def stop(self) -> None:
        """Begin to drain, from any thread; ``run`` returns when that is done."""
        self._loop.stop()

    def _new_intake(self, on_request: Callable[[Request], None]) -> Intake:
        # A crash counts as a delivery for every prefetched request, so fetch no more
        # than keeps the threads busy.
        prefetch = 2 * self._concurrency
        return Intake(
            next(self._connections),
            self._queue,
            prefetch,
            on_request,
            max_bytes=self._max_unsettled_bytes,
        )
