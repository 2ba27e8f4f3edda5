"""What every process needs and no business logic owns: calls, settings, logs,
telemetry."""

import os

from chassis.otel_variables import propagator_faults

# OpenTelemetry reads it when a library imports it, and would end with a traceback.
if _faults := propagator_faults(os.environ):
    raise SystemExit("\n".join(_faults))

__version__ = "0.1.0"
