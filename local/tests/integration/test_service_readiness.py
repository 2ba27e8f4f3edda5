"""A service is ready when it is connected, also one that only receives events."""

from pathlib import Path

from local import apps
from local.servers.rabbitmq import RabbitMQ
from local.state import State

EVENTS_ONLY = """
from chassis.events import Event, on
from chassis.service import serve


class WatchingService:
    @on("record.*")
    def watch(self, event: Event) -> None: ...


serve(WatchingService)
"""


def test_a_service_of_events_alone_becomes_ready(
    state: State, rabbitmq: RabbitMQ, vhost: str, tmp_path: Path
) -> None:
    (tmp_path / "main.py").write_text(EVENTS_ONLY)
    env = {
        "RABBITMQ_HOST": rabbitmq.host,
        "RABBITMQ_PORT": str(rabbitmq.port),
        "RABBITMQ_VHOST": vhost,
    }
    service = apps.service("watching", tmp_path, state, env)
    for _ in range(2):  # the second one after a kill, which leaves its file behind
        service.start()
        assert rabbitmq.consumers("watching.events.record.*", vhost) == 1
        service.kill()
        assert service.connected.exists() and not service.ready()
