"""What every process needs and no business logic owns: calls, settings, logs,
telemetry."""

__version__ = "0.1.0"
