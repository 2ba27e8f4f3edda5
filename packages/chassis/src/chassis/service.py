"""``serve``: the one call in a service's ``main.py``."""

import gc
import re
from collections.abc import Callable, Iterable
from typing import Any

from chassis.calls import set_event_producer
from chassis.environment import load
from chassis.events.handlers import handlers_of
from chassis.events.subscriber import new_subscriber
from chassis.heartbeat import HeartbeatFile, JointHeartbeat
from chassis.logs import configure_logging
from chassis.memory import give_back_memory
from chassis.queues import get_queue_name
from chassis.rpc.client import RpcClient
from chassis.rpc.producers import EventProducer
from chassis.rpc.receiver import EventReceiver
from chassis.settings import ServiceSettings
from chassis.signals import Part, run_together
from chassis.telemetry import start_telemetry, stop_telemetry


def serve(
    service: Callable[[], object],
    *,
    handlers: Iterable[Callable[..., None]] = (),
    name: str | None = None,
    queue: str | None = None,
    settings: type[ServiceSettings] = ServiceSettings,
) -> None:
    """Serve the service's queues until SIGTERM or SIGINT, then drain.

    Args:
        service: the class. If it has the method ``call``, its one instance answers
            requests, in several threads. Methods with ``@on`` handle events.
        handlers: functions with ``@on``, which handle events too.
        name: by default ``price_list`` for ``PriceListService``. Logs, spans and
            RabbitMQ show the process under this name, unless SERVICE_NAME is set.
        queue: by default QUEUE_NAME, PRICE_LIST_QUEUE_NAME or ``price_list_queue``.
        settings: a subclass of ServiceSettings, if the service has its own.
    """
    give_back_memory()
    own = load(settings)
    name = name or service_name(service)
    shown = own.service_name or name
    configure_logging(shown, own.log_level, own.log_format)
    start_telemetry(shown, own.environment)
    # Connects only if this service calls another.
    producer = EventProducer(RpcClient(own.rabbitmq, own.rpc), own.rpc.timeout_seconds)
    queue = own.queue_name or queue or get_queue_name(name)
    parts = _parts(service(), [*handlers], own, name=name, shown=shown, queue=queue)
    set_event_producer(producer)
    gc.freeze()  # spare the collector objects that stay
    try:
        run_together(parts)
    finally:
        set_event_producer(None)
        producer.close()
        stop_telemetry()


def _parts(
    service: Any,
    handlers: list[Callable[..., None]],
    own: ServiceSettings,
    *,
    name: str,
    shown: str,
    queue: str,
) -> list[Part]:
    """What receives requests, and what receives events."""
    found = handlers_of(service, handlers)
    answers = hasattr(service, "call")
    file = HeartbeatFile(own.heartbeat_file) if own.heartbeat_file else None
    heartbeats = JointHeartbeat(file, answers + len(found)).parts
    parts: list[Part] = []
    if answers:
        parts.append(
            EventReceiver(
                queue_name=queue,
                service=lambda: service,
                service_name=shown,
                rabbitmq=own.rabbitmq,
                rpc=own.rpc,
                concurrency=own.concurrency,
                max_unsettled_bytes=own.max_unsettled_bytes,
                max_values=own.max_json_values,
                max_result_bytes=own.max_result_bytes,
                shutdown_grace_seconds=own.shutdown_grace_seconds,
                heartbeat=heartbeats.pop(),
            )
        )
    tables = getattr(service, "TABLES", "")
    for handler, heartbeat in zip(found, heartbeats, strict=True):
        parts.append(
            new_subscriber(
                handler, own, heartbeat, name=name, shown=shown, tables=tables
            )
        )
    if not parts:
        raise ValueError(f"{name}: neither `call` nor a handler of events")
    return parts


def service_name(service: Callable[[], object]) -> str:
    """``price_list`` for the class ``PriceListService``."""
    own = getattr(service, "__name__", "service")
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", own)
    return words.lower().removesuffix("_service")
