"""The composition root of the event relay: ``python -m app.relay``."""

import gc
import signal
from functools import partial

from app.core.config import load_settings
from app.core.database import create_sync_engine
from app.repositories.relay_repository import relay_turn
from app.services.relay_service import EventRelayService
from chassis.events.publisher import EventPublisher
from chassis.heartbeat import HeartbeatFile
from chassis.logs import configure_logging
from chassis.rabbitmq import rabbitmq_server
from chassis.telemetry import start_telemetry, stop_telemetry

SERVICE = "event-relay"

NO_RABBITMQ = (
    "RPC_BROKER_URL names Redis, and events are published to RabbitMQ alone: there is "
    "nothing for the relay to do"
)


def run_relay() -> None:
    """Publish events until SIGTERM or SIGINT; a batch that has begun is finished."""
    settings = load_settings()
    configure_logging(SERVICE, settings.log_level, settings.log_format)
    if rabbitmq_server(settings.rabbitmq, settings.rpc) is None:
        raise SystemExit(NO_RABBITMQ)
    # No library is instrumented: it would make a span of each look into the log.
    start_telemetry(SERVICE, settings.environment)
    engine = create_sync_engine(settings.database, pool_size=1, max_overflow=0)
    publisher = EventPublisher(
        settings.rabbitmq, settings.rpc, settings.events.exchange, SERVICE
    )
    file = settings.events.relay_heartbeat_file
    relay = EventRelayService(
        partial(relay_turn, engine),
        publisher,
        settings.events.source,
        HeartbeatFile(file) if file else None,
    )
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: relay.stop())
    gc.freeze()  # spare the collector objects that stay
    try:
        relay.run()
    finally:
        publisher.close()
        engine.dispose()
        stop_telemetry()


if __name__ == "__main__":
    run_relay()
