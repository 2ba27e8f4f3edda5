"""OpenTelemetry for every process; costs nothing where no endpoint is named."""

from chassis.telemetry.export import start_telemetry, stop_telemetry

__all__ = ["start_telemetry", "stop_telemetry"]
