"""OpenTelemetry for every process; it costs nothing while no endpoint is set."""

from chassis.telemetry.export import start_telemetry, stop_telemetry

__all__ = ["start_telemetry", "stop_telemetry"]
