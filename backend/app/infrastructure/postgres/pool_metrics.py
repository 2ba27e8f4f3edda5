"""Connections of a pool by state: the drivers' instrumentations do not count them."""

from opentelemetry.metrics import CallbackOptions, Observation
from sqlalchemy import Engine
from sqlalchemy.pool import QueuePool

from chassis.telemetry import tracing

STATE = "db.client.connection.state"


def watch_pool(engine: Engine) -> None:
    """Report an engine's pool at each export, if telemetry is on."""
    pool = engine.pool
    if not tracing.is_enabled() or not isinstance(pool, QueuePool):
        return
    name = {
        "db.system.name": "postgresql",
        "db.namespace": engine.url.database or "",
        "server.address": engine.url.host or "",
    }

    def count(_: CallbackOptions) -> list[Observation]:
        return [
            Observation(pool.checkedout(), {**name, STATE: "used"}),
            Observation(pool.checkedin(), {**name, STATE: "idle"}),
        ]

    tracing.meter.create_observable_up_down_counter(
        "db.client.connection.count",
        [count],
        unit="{connection}",
        description="Connections of the pool, by state.",
    )
