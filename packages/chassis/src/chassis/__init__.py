"""What every process needs and no business shares: calls, settings, logs, telemetry."""

__version__ = "0.1.0"
