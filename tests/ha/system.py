"""The lab as it is broken: with short times, and receivers of its events."""

from collections.abc import Callable

from local.apps import ROOT, App
from local.ha.lab import TWO, Lab
from local.state import State
from tests.chaos import stored
from tests.chaos.receiver import Receiver
from tests.chaos.subscriber import RECORDS
from tests.chaos.system import CLOCKS, READ_TIMEOUT

ENVIRONMENT = {
    **CLOCKS,
    "OTEL_SDK_DISABLED": "true",
    "LOG_FORMAT": "json",
    "WEBHOOKS_ALLOWED_NETWORKS": "127.0.0.0/8",
}


class System(Lab):
    """Enter it; then each part may be lost."""

    @classmethod
    def prepare(cls, state: State, say: Callable[[str], None]) -> "System":
        """Create the lab with a subscriber in two zones, and a receiver of webhooks."""
        system = cls.create(state, ENVIRONMENT, say)
        assert isinstance(system, System)
        system.nginx.settings = {
            **system.nginx.settings,
            "NGINX_READ_TIMEOUT": f"{READ_TIMEOUT}s",
        }
        return system

    def __enter__(self) -> "System":
        self.receiver = Receiver()
        self.subscribers = [self._subscriber(zone) for zone in TWO]
        self.services += self.subscribers
        super().__enter__()
        self.receiver.open()
        first = self.apis[0].address
        self.receiver.subscribe(first)
        return self

    def __exit__(self, *_: object) -> None:
        super().__exit__()
        self.receiver.close()

    def active_relay(self) -> App:
        """The event relay that publishes."""
        name = stored.active_relay(self.clusters.postgres)
        return next((app for app in self.relays if app.name == name), self.relays[0])

    def _subscriber(self, zone: str) -> App:
        url = self.env["MIGRATIONS_DATABASE_URL"]
        return App(
            f"subscriber-{zone}",
            self.state,
            ["-m", "tests.chaos.subscriber"],
            cwd=ROOT,
            env={**self.env, "EVENTS_DATABASE_URL": url},
            # Of several, RabbitMQ counts the active one only.
            probe=lambda: self.clusters.broker.consumers(RECORDS.name) == 1,
        )
