"""Depth, consumers and throughput of the queues, from RabbitMQ's management API.

The active process of a deployment reports them, so that they are not counted twice.
"""

from collections.abc import Callable, Iterable

from opentelemetry.metrics import CallbackOptions, Observation
from redis.exceptions import RedisError

from app.core.exceptions import BrokerUnavailable
from app.core.redis_settings import CelerySettings
from app.core.services import ServiceRegistry
from app.infrastructure.celery import QUEUES
from app.infrastructure.rabbitmq_management import ManagementApi, QueueFigures
from app.infrastructure.task_lists import TaskLists
from chassis.telemetry import tracing

STATE = "rabbitmq.message.state"
STATES = {"ready": "messages_ready", "unacknowledged": "messages_unacknowledged"}

Observations = Iterable[Observation]
IsActive = Callable[[], bool]


def watch_queues(
    management: ManagementApi, services: ServiceRegistry, is_active: IsActive
) -> None:
    """Report the queues of the services and their dead letters at each export, while
    this process is active. It runs in the exporter's thread."""
    watched = [name for s in services for name in (s.queue, s.dead_letter_queue)]

    def observe(
        read: Callable[[QueueFigures, dict[str, str]], Observations],
    ) -> Callable[[CallbackOptions], Observations]:
        def callback(_: CallbackOptions) -> Observations:
            if not is_active():
                return
            try:
                queues = management.read_queues()
            except BrokerUnavailable:
                return  # no value is better than a wrong one
            for queue in watched:
                if queue in queues:
                    name = {"messaging.destination.name": queue}
                    yield from read(queues[queue], name)

        return callback

    meter = tracing.meter
    meter.create_observable_gauge(
        "rabbitmq.queue.messages",
        [observe(_messages)],
        unit="{message}",
        description="Messages in the queue, by state.",
    )
    meter.create_observable_gauge(
        "rabbitmq.queue.consumers",
        [observe(_consumers)],
        unit="{consumer}",
        description="Consumers of the queue.",
    )
    meter.create_observable_counter(
        "rabbitmq.queue.acknowledged",
        [observe(_acknowledged)],
        unit="{message}",
        description="Messages that consumers have acknowledged.",
    )


def watch_tasks(settings: CelerySettings, is_active: IsActive) -> None:
    """Report how many tasks wait in Redis, at each export while this process is
    active."""
    lists = TaskLists(settings)

    def callback(_: CallbackOptions) -> Observations:
        for queue in QUEUES if is_active() else ():
            try:
                waiting = lists.count_waiting(queue)
            except (RedisError, OSError):
                return
            yield Observation(waiting, {"messaging.destination.name": queue})

    tracing.meter.create_observable_gauge(
        "app.tasks.waiting",
        [callback],
        unit="{task}",
        description="Tasks that no worker has taken yet, by queue.",
    )


def _messages(figures: QueueFigures, name: dict[str, str]) -> Observations:
    for state, field in STATES.items():
        yield Observation(figures.get(field, 0), {**name, STATE: state})


def _consumers(figures: QueueFigures, name: dict[str, str]) -> Observations:
    yield Observation(figures.get("consumers", 0), name)


def _acknowledged(figures: QueueFigures, name: dict[str, str]) -> Observations:
    yield Observation(figures.get("message_stats", {}).get("ack", 0), name)
