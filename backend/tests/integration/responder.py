"""A service in a thread, on its own queue, that behaves as a test wants."""

import json
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any
from uuid import uuid4

from kombu import Connection, Consumer, Queue
from kombu.message import Message

from chassis.settings import RabbitMQSettings

CLASSIC: dict[str, Any] = {"x-queue-type": "classic"}


def connect(settings: RabbitMQSettings) -> Connection:
    """A separate connection for the test itself."""
    return Connection(
        hostname=settings.host,
        port=settings.port,
        userid=settings.user,
        password=settings.password.get_secret_value(),
        virtual_host=settings.vhost,
        connect_timeout=5,
    )


class Responder:
    """Echoes the request's body. ``before_reply`` may wait, or return False for no
    reply. Reconnects after its connection is lost."""

    def __init__(self, settings: RabbitMQSettings) -> None:
        self.queue = f"test-{uuid4()}"
        self.before_reply: Callable[[Message], bool] = lambda _: True
        self.headers: dict[str, Any] = {"x-status": "ok", "x-task-type": "echo"}
        self.requests: list[Message] = []
        self.ready = threading.Event()
        self._settings = settings
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> "Responder":
        self._thread.start()
        assert self.ready.wait(10)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stop.set()
        self._thread.join(10)

    def _run(self) -> None:
        while not self._stop.is_set():
            connection = connect(self._settings)
            try:
                self._serve(connection)
            except (*connection.connection_errors, *connection.channel_errors):
                self.ready.clear()
                self._stop.wait(0.2)
            finally:
                connection.collect(socket_timeout=0.1)

    def _serve(self, connection: Connection) -> None:
        channel: Any = connection.channel()
        queue = Queue(self.queue, durable=True, queue_arguments=CLASSIC)(channel)
        # One at a time: publishing with py-amqp may also read, and would handle the
        # message.
        channel.basic_qos(0, 1, False)
        with Consumer(channel, [queue], on_message=self._on_message):
            self.ready.set()
            while not self._stop.is_set():
                try:
                    connection.drain_events(timeout=0.1)
                except TimeoutError:
                    pass
            queue.delete()

    def _on_message(self, message: Message) -> None:
        self.requests.append(message)
        if self.before_reply(message):
            self.reply(message)
        message.ack()

    def reply(self, message: Message) -> None:
        """Answer a request, in the consumer thread."""
        channel: Any = message.channel
        body = channel.prepare_message(
            message.body,
            content_type="application/json",
            content_encoding="utf-8",
            headers=self.headers,
            properties={"correlation_id": message.properties["correlation_id"]},
        )
        channel.basic_publish(
            body, exchange="", routing_key=message.properties["reply_to"]
        )

    def bodies(self) -> list[Any]:
        """The payloads received so far."""
        return [json.loads(str(message.body)) for message in self.requests]


def wait_until(condition: Callable[[], bool], timeout: float = 30) -> None:
    """Poll until the condition holds; fail if it does not in time."""
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true in time"
        time.sleep(0.01)
