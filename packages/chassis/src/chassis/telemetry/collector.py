"""Logs a collector that is down like any other server, not once per batch."""

import logging
import threading
import time

from chassis.outages import Outage

#: Seconds without an error after which the collector counts as back. Metrics are
#: exported every minute, and an error follows within ten seconds.
QUIET_SECONDS = 90.0

#: The exporters' error for each attempt of each batch.
COMPLAINTS = ("Transient error", "Failed to export")
EXPORTERS = "opentelemetry.exporter.otlp"


class CollectorFilter(logging.Filter):
    """A filter for a process's handlers: drops the exporters' errors."""

    def __init__(self, quiet_seconds: float = QUIET_SECONDS) -> None:
        super().__init__()
        self._outage = Outage("the OpenTelemetry collector")
        self._quiet_seconds = quiet_seconds
        self._timer: threading.Timer | None = None

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether to write the record."""
        if not record.name.startswith(EXPORTERS):
            return True
        text = record.getMessage()
        if not text.startswith(COMPLAINTS):
            return True
        if self._timer is not None:
            self._timer.cancel()
        self._outage.lost(text)
        # Exporters do not report success.
        moment = [time.monotonic()]
        self._timer = threading.Timer(
            self._quiet_seconds, self._outage.restored, moment
        )
        self._timer.daemon = True
        self._timer.start()
        return False
