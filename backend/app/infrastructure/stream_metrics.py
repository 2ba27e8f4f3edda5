"""How many clients stream events: their requests have no span."""

from collections.abc import Callable

from opentelemetry.metrics import CallbackOptions, Observation

from chassis.telemetry import tracing


def watch_streams(open_streams: Callable[[], int]) -> None:
    """Report the number at each export, if telemetry is on."""
    if not tracing.is_enabled():
        return

    def count(_: CallbackOptions) -> list[Observation]:
        return [Observation(open_streams())]

    tracing.meter.create_observable_up_down_counter(
        "app.events.streams",
        [count],
        unit="{stream}",
        description="Open streams of events, SSE and WebSocket.",
    )
