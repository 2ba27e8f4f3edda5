"""EventReceiver: serves one queue with one service class."""

import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from app.rpc.amqp_link import AmqpLink
from app.rpc.handling import RequestHandler, Service
from app.rpc.link import Broker, Link
from app.rpc.liveness import HeartbeatFile
from app.rpc.loop import ReceiverLoop
from app.rpc.message import Request
from app.rpc.poller import Poller
from app.rpc.redis_link import RedisLink
from app.rpc.topology import RequestQueue
from app.rpc.tracing import Handle, TracedHandler
from app.rpc.workers import WorkerPool

DEFAULT_CONCURRENCY = 32
#: Below the 30 s that Kubernetes waits between SIGTERM and SIGKILL.
DEFAULT_GRACE_SECONDS = 25.0
DEFAULT_HEARTBEAT_SECONDS = 5


class EventReceiver:
    """Receives requests from `queue_name` and answers each by `service().call(data)`.

    The one instance of `service` is called from `concurrency` threads at once.
    `broker_url`, a kombu URL (`amqp://`, `amqps://`, `redis://`), replaces username,
    password, host, port, vhost and ssl. `heartbeat_file` is touched every second while
    the receiver is alive. `telemetry` makes spans and metrics of each request, for the
    providers of OpenTelemetry that the process has.
    """

    def __init__(
        self,
        *,
        username: str,
        password: str,
        host: str,
        port: int,
        queue_name: str,
        service: Callable[[], Service],
        service_name: str,
        vhost: str = "/",
        ssl: bool = False,
        broker_url: str | None = None,
        concurrency: int = DEFAULT_CONCURRENCY,
        shutdown_grace_seconds: float = DEFAULT_GRACE_SECONDS,
        heartbeat_seconds: int = DEFAULT_HEARTBEAT_SECONDS,
        heartbeat_file: Path | None = None,
        telemetry: bool = False,
    ) -> None:
        self._broker = Broker(
            host=host,
            port=port,
            username=username,
            password=password,
            vhost=vhost,
            ssl=ssl,
            url=broker_url,
            heartbeat_seconds=heartbeat_seconds,
            client_name=f"{service_name}@{socket.gethostname()}:{os.getpid()}",
        )
        self._queue = RequestQueue(queue_name)
        self._concurrency = concurrency
        is_redis = bool(broker_url and broker_url.startswith(("redis:", "rediss:")))
        self._link_type: type[Link] = RedisLink if is_redis else AmqpLink
        self._poller = Poller()
        handler: Handle = RequestHandler(service(), self._link_type.delivery_limit)
        if telemetry:
            system = "redis" if is_redis else "rabbitmq"
            handler = TracedHandler(handler, queue_name, system)
        self._pool = WorkerPool(handler, concurrency, self._poller.wake)
        self._loop = ReceiverLoop(
            self._make_link,
            self._pool,
            self._poller,
            shutdown_grace_seconds,
            HeartbeatFile(heartbeat_file).touch if heartbeat_file else lambda: None,
        )

    def run(self) -> None:
        """Serves until SIGTERM, SIGINT or `stop()`, then drains. To be called once.

        A second signal ends the process at once. Outside of the main thread signals
        are left alone.
        """
        try:
            with self._signals():
                self._loop.run()
        finally:
            self._pool.stop()
            self._poller.close()

    def stop(self) -> None:
        """Begins to drain, from any thread; `run` returns when that is done."""
        self._loop.stop()

    def _make_link(self, on_request: Callable[[Request], None]) -> Link:
        return self._link_type(
            self._broker, self._queue, 2 * self._concurrency, on_request
        )

    @contextmanager
    def _signals(self) -> Iterator[None]:
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        received = 0

        def on_signal(signum: int, frame: FrameType | None) -> None:
            nonlocal received
            received += 1
            if received > 1:
                os._exit(128 + signum)
            self.stop()

        before = {
            signum: signal.signal(signum, on_signal)
            for signum in (signal.SIGTERM, signal.SIGINT)
        }
        try:
            yield
        finally:
            for signum, handler in before.items():
                signal.signal(signum, handler)
