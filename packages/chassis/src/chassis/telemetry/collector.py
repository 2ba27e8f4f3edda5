"""A collector that is down: told as any other server, not once for each batch."""

import logging
import threading
import time

from chassis.outages import Outage

#: Seconds without a complaint after which the collector is back. Metrics go out each
#: minute, whatever else does, and a complaint comes within ten seconds.
QUIET_SECONDS = 90.0

#: What OpenTelemetry's exporters say of a batch, each attempt, for ever.
COMPLAINTS = ("Transient error", "Failed to export")
EXPORTERS = "opentelemetry.exporter.otlp"


class CollectorFilter(logging.Filter):
    """For the handlers of a process: leaves out the exporters' complaints."""

    def __init__(self, quiet_seconds: float = QUIET_SECONDS) -> None:
        super().__init__()
        self._outage = Outage("the OpenTelemetry collector")
        self._quiet_seconds = quiet_seconds
        self._timer: threading.Timer | None = None

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the record is to be written."""
        if not record.name.startswith(EXPORTERS):
            return True
        text = record.getMessage()
        if not text.startswith(COMPLAINTS):
            return True
        if self._timer is not None:
            self._timer.cancel()
        self._outage.lost(text)
        # No exporter tells of a success.
        moment = [time.monotonic()]
        self._timer = threading.Timer(
            self._quiet_seconds, self._outage.restored, moment
        )
        self._timer.daemon = True
        self._timer.start()
        return False
