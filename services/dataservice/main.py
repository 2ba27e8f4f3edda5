"""The data service: reads the environment and serves the queue until told to stop."""

import logging
import os
from collections.abc import Callable, Mapping
from pathlib import Path

from app.data_service import DataService
from app.rpc.handling import Service
from rabbitmq_client import (
    DEFAULT_CONCURRENCY,
    DEFAULT_GRACE_SECONDS,
    DEFAULT_HEARTBEAT_SECONDS,
    EventReceiver,
)


def make_receiver(
    env: Mapping[str, str], service: Callable[[], Service] = DataService
) -> EventReceiver:
    """The receiver that the environment describes; ValueError for bad numbers."""
    heartbeat_file = env.get("HEARTBEAT_FILE")
    return EventReceiver(
        username=env.get("RABBITMQ_USER", "guest"),
        password=env.get("RABBITMQ_PASSWORD", "welcome1"),
        host=env.get("RABBITMQ_HOST", "rabbitmq"),
        port=int(env.get("RABBITMQ_PORT", "5672")),
        vhost=env.get("RABBITMQ_VHOST", "/"),
        ssl=env.get("RABBITMQ_SSL", "").lower() in ("1", "true", "yes", "on"),
        broker_url=env.get("RPC_BROKER_URL") or None,
        queue_name=env.get("QUEUE_NAME", "data_queue"),
        service=service,
        service_name=env.get("SERVICE_NAME", "data"),
        concurrency=int(env.get("CONCURRENCY", DEFAULT_CONCURRENCY)),
        shutdown_grace_seconds=float(
            env.get("SHUTDOWN_GRACE_SECONDS", DEFAULT_GRACE_SECONDS)
        ),
        heartbeat_seconds=int(
            env.get("RABBITMQ_HEARTBEAT_SECONDS", DEFAULT_HEARTBEAT_SECONDS)
        ),
        heartbeat_file=Path(heartbeat_file) if heartbeat_file else None,
    )


def main() -> None:
    logging.basicConfig(
        level=os.environ.get("LOG_LEVEL", "INFO").upper(),
        format="%(asctime)s %(levelname)s %(name)s %(message)s",
    )
    make_receiver(os.environ).run()


if __name__ == "__main__":
    main()
