"""A collector that is down is logged once, not once per batch."""

import logging
import threading
from collections.abc import Iterator

import pytest

from chassis.telemetry.collector import EXPORTERS, CollectorFilter

exporter = logging.getLogger(f"{EXPORTERS}.proto.grpc.exporter")
REFUSED = "Transient error StatusCode.UNAVAILABLE encountered while exporting traces"


@pytest.fixture(autouse=True)
def complaints(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    filtered = CollectorFilter(quiet_seconds=0.3)
    caplog.handler.addFilter(filtered)
    yield
    caplog.handler.removeFilter(filtered)


def test_all_export_errors_are_one_outage(caplog: pytest.LogCaptureFixture) -> None:
    is_over = threading.Event()

    class Ends(logging.Filter):
        def filter(self, record: logging.LogRecord) -> bool:
            if record.getMessage().startswith("Connected to"):
                is_over.set()
            return True

    caplog.handler.addFilter(ends := Ends())
    for _ in range(3):
        exporter.warning(REFUSED)
        exporter.error("Failed to export traces to x, error code: %s", 14)
    assert is_over.wait(10)
    caplog.handler.removeFilter(ends)
    first, last = caplog.messages
    assert first == f"No connection to the OpenTelemetry collector: {REFUSED}"
    assert last.startswith("Connected to the OpenTelemetry collector after 0.")


def test_an_outage_does_not_hold_up_the_exit() -> None:
    """Python waits for threads that are no daemons. The last error counts."""
    exporter.warning(REFUSED)
    exporter.warning(REFUSED)
    timers = [
        each for each in threading.enumerate() if isinstance(each, threading.Timer)
    ]
    waiting = [each for each in timers if not each.finished.is_set()]
    assert len(waiting) == 1 and all(each.daemon for each in timers)


def test_other_records_are_written(caplog: pytest.LogCaptureFixture) -> None:
    other = logging.getLogger("app.x")
    lines = ["Overriding of current TracerProvider", "Failed to export a report"]
    for author, line in zip((exporter, other), lines, strict=True):
        author.warning(line)
    assert caplog.messages == lines
