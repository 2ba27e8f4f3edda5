"""How far the event relay is behind. Beat reports it: a relay that is gone cannot."""

from collections.abc import Callable

from opentelemetry.metrics import CallbackOptions, Observation
from sqlalchemy import Engine

from app.core.exceptions import DatabaseBusy, DatabaseUnavailable
from app.repositories.relay_repository import Backlog, read_backlog
from chassis.telemetry import tracing


def watch_backlog(engine: Engine, is_active: Callable[[], bool]) -> None:
    """Report the events that are not published yet, at each export while this process
    is active. It runs in the exporter's thread."""

    def observe(
        read: Callable[[Backlog], float],
    ) -> Callable[[CallbackOptions], list[Observation]]:
        def callback(_: CallbackOptions) -> list[Observation]:
            if not is_active():
                return []
            try:
                return [Observation(read(read_backlog(engine)))]
            except (DatabaseUnavailable, DatabaseBusy):
                return []  # no value is better than a wrong one

        return callback

    tracing.meter.create_observable_gauge(
        "app.events.waiting",
        [observe(lambda backlog: backlog.events)],
        unit="{event}",
        description="Events that the relay has not published, at most 100,000.",
    )
    tracing.meter.create_observable_gauge(
        "app.events.lag",
        [observe(lambda backlog: backlog.seconds)],
        unit="s",
        description="Age of the oldest event that the relay has not published.",
    )
