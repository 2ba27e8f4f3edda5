"""The data service: serves its queue until told to stop."""

import gc
import os
from collections.abc import Callable, Mapping
from pathlib import Path

from app.data_service import DataService
from app.logs import configure_logging
from app.rpc.handling import Service
from app.telemetry import start_telemetry, stop_telemetry
from rabbitmq_client import (
    DEFAULT_CONCURRENCY,
    DEFAULT_GRACE_SECONDS,
    DEFAULT_HEARTBEAT_SECONDS,
    EventReceiver,
)

#: Of this kind of process, in log lines and telemetry.
NAME = "dataservice"


def make_receiver(
    env: Mapping[str, str],
    service: Callable[[], Service] = DataService,
    *,
    telemetry: bool = False,
) -> EventReceiver:
    """The receiver that the environment describes; ValueError for bad numbers."""
    heartbeat_file = env.get("HEARTBEAT_FILE")
    return EventReceiver(
        username=env.get("RABBITMQ_USER", "guest"),
        password=_secret(env, "RABBITMQ_PASSWORD") or "welcome1",
        host=env.get("RABBITMQ_HOST", "rabbitmq"),
        port=int(env.get("RABBITMQ_PORT", "5672")),
        vhost=env.get("RABBITMQ_VHOST", "/"),
        ssl=env.get("RABBITMQ_SSL", "").lower() in ("1", "true", "yes", "on"),
        broker_url=_secret(env, "RPC_BROKER_URL"),
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
        telemetry=telemetry,
    )


def _secret(env: Mapping[str, str], name: str) -> str | None:
    """A variable, or the file that `NAME_FILE` names, as containers mount secrets."""
    file = env.get(f"{name}_FILE")
    return Path(file).read_text().strip() if file else env.get(name) or None


def main() -> None:
    env = os.environ
    configure_logging(NAME, env.get("LOG_LEVEL", "INFO"), env.get("LOG_FORMAT") or None)
    telemetry = start_telemetry(NAME)
    receiver = make_receiver(env, telemetry=telemetry)
    gc.freeze()  # what is here stays: no collection shall walk through it
    try:
        receiver.run()
    finally:
        stop_telemetry()


if __name__ == "__main__":
    main()
