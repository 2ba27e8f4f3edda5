"""Relay processes, and a subscriber of what they publish."""

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kombu import Connection

from chassis.events.event import Event
from chassis.events.topology import PREVIOUS, events_exchange
from chassis.settings import RabbitMQSettings
from tests.integration.responder import wait_until

BACKEND = Path(__file__).parents[2]
ACTIVE, STANDBY = "This relay is active", "Another relay is active"


class RelayProcess:
    """``python -m app.relay``."""

    def __init__(self, env: dict[str, str], log: Path) -> None:
        self.log = log
        with log.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "app.relay"],
                cwd=BACKEND,
                env={**os.environ, **env},
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    @property
    def is_active(self) -> bool:
        text = self.log.read_text()
        return text.rfind(ACTIVE) > text.rfind(STANDBY)

    @property
    def has_role(self) -> bool:
        return self.is_active or STANDBY in self.log.read_text()

    def kill(self) -> None:
        """It notices nothing."""
        self.process.kill()
        self.process.wait()

    def stop(self, within: float = 15) -> int:
        """In order; returns the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(within)


@dataclass(frozen=True)
class Arrival:
    """An event as it arrived."""

    event: Event
    previous: int
    properties: dict[str, Any]
    moment: float


class Subscriber:
    """A durable quorum queue bound to the exchange, as a service has."""

    def __init__(
        self, settings: RabbitMQSettings, exchange: str, **arguments: Any
    ) -> None:
        self._settings = settings
        self._exchange = exchange
        self._arguments = {"x-queue-type": "quorum", **arguments}
        self.queue = f"{exchange}.queue"
        self.arrivals: list[Arrival] = []
        self._connection: Any = None
        self.declare()

    def declare(self) -> None:
        channel = self.connect()
        events_exchange(self._exchange)(channel).declare()
        channel.queue_declare(
            self.queue, durable=True, auto_delete=False, arguments=self._arguments
        )
        channel.queue_bind(self.queue, self._exchange, "#")

    def connect(self) -> Any:
        self.close()
        self._connection = Connection(
            hostname=self._settings.host,
            port=self._settings.port,
            userid=self._settings.user,
            password=self._settings.password.get_secret_value(),
            virtual_host=self._settings.vhost,
            connect_timeout=5,
            transport_options={"read_timeout": 10},
        )
        self._open: Any = self._connection.channel()
        self._open.auto_decode = False
        return self._open

    def take(self, most: int = 100_000) -> int:
        """Take what is there; returns how much."""
        for number in range(most):
            message = self._open.basic_get(self.queue, no_ack=True)
            if message is None:
                return number
            headers = message.properties["application_headers"]
            self.arrivals.append(
                Arrival(
                    Event.parse(bytes(message.body)),
                    int(headers[PREVIOUS]),
                    message.properties,
                    time.monotonic(),
                )
            )
        return most

    def wait(self, number: int, within: float = 30) -> None:
        """Until so many events are there."""
        wait_until(lambda: self.take() >= 0 and len(self.sequences) >= number, within)

    @property
    def sequences(self) -> list[int]:
        """In the order in which they first arrived."""
        return list(dict.fromkeys(each.event.sequence for each in self.arrivals))

    @property
    def subjects(self) -> list[str]:
        """In the order of arrival."""
        return [each.event.subject for each in self.arrivals]

    def delete(self) -> None:
        self._open.queue_delete(self.queue)
        self._open.exchange_delete(self._exchange)
        self.close()

    def close(self) -> None:
        if self._connection is not None:
            with suppress(Exception):
                self._connection.close()
