"""``serve``: the one call in a service's ``main.py``."""

import gc
import re
from collections.abc import Callable

from chassis.calls import set_event_producer
from chassis.environment import load
from chassis.logs import configure_logging
from chassis.memory import give_back_memory
from chassis.queues import get_queue_name
from chassis.rpc.client import RpcClient
from chassis.rpc.handling import JsonService
from chassis.rpc.producers import EventProducer
from chassis.rpc.receiver import EventReceiver
from chassis.settings import ServiceSettings
from chassis.telemetry import start_telemetry, stop_telemetry


def serve(
    service: Callable[[], JsonService],
    *,
    name: str | None = None,
    queue: str | None = None,
    settings: type[ServiceSettings] = ServiceSettings,
) -> None:
    """Serve the service's queue until SIGTERM or SIGINT, then drain.

    Args:
        service: the class. Its one instance is called from several threads.
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
    receiver = EventReceiver(
        queue_name=own.queue_name or queue or get_queue_name(name),
        service=service,
        service_name=shown,
        rabbitmq=own.rabbitmq,
        rpc=own.rpc,
        concurrency=own.concurrency,
        max_unsettled_bytes=own.max_unsettled_bytes,
        max_values=own.max_json_values,
        max_result_bytes=own.max_result_bytes,
        shutdown_grace_seconds=own.shutdown_grace_seconds,
        heartbeat_file=own.heartbeat_file,
    )
    set_event_producer(producer)
    gc.freeze()  # spare the collector objects that stay
    try:
        receiver.run()
    finally:
        set_event_producer(None)
        producer.close()
        stop_telemetry()


def service_name(service: Callable[[], JsonService]) -> str:
    """``price_list`` for the class ``PriceListService``."""
    own = getattr(service, "__name__", "service")
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", own)
    return words.lower().removesuffix("_service")
