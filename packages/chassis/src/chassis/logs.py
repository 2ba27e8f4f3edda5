"""Log lines of every process: JSON for machines, text for people at a terminal.

Every line has the request id, the task id and the ids of trace and span, where there
are any; more by ``extra=``, under the names of OpenTelemetry. Payloads are never
logged.
"""

import json
import logging
import sys
import time
from typing import Any

from opentelemetry import trace

from chassis.context import current_request_id, current_task_id

TEXT = "%(asctime)s %(levelname)-7s %(name)s [%(shown_id)s] %(message)s"
ACCESS = "app.access"

# What every record has; the rest came by ``extra=``, or from the context.
_STANDARD = {
    *vars(logging.makeLogRecord({})),
    *("message", "asctime", "taskName", "shown_id"),
}


def configure_logging(service: str, level: str, log_format: str | None) -> None:
    """Send everything to standard error.

    Args:
        service: the name of this kind of process.
        log_format: ``json`` or ``text``; what suits the reader if None.
    """
    chosen = log_format or ("text" if sys.stderr.isatty() else "json")
    handler = logging.StreamHandler()
    handler.setFormatter(
        TextFormatter(TEXT) if chosen == "text" else JsonFormatter(service)
    )
    logging.basicConfig(level=level, handlers=[handler], force=True)
    logging.setLogRecordFactory(_new_record)
    logging.getLogger("amqp").setLevel(logging.WARNING)


def _new_record(*args: Any, **kwargs: Any) -> logging.LogRecord:
    """A record that names what it belongs to; what there is none of is left out."""
    record = logging.LogRecord(*args, **kwargs)
    if (request_id := current_request_id.get()) != "-":
        record.request_id = request_id
    if task_id := current_task_id.get():
        record.task_id = task_id
    return record


class TextFormatter(logging.Formatter):
    """One line for people, and a traceback below it."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        record.shown_id = getattr(record, "request_id", "-")
        return super().format(record)


class JsonFormatter(logging.Formatter):
    """One JSON object on one line, whatever is in it."""

    def __init__(self, service: str) -> None:
        super().__init__()
        self._service = service

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        line: dict[str, Any] = {
            "timestamp": f"{moment}.{int(record.msecs):03d}Z",
            "level": record.levelname,
            "service": self._service,
            "logger": record.name,
            "message": record.getMessage(),
            **{k: v for k, v in vars(record).items() if k not in _STANDARD},
        }
        span = trace.get_current_span().get_span_context()
        if span.is_valid:
            line["trace_id"] = f"{span.trace_id:032x}"
            line["span_id"] = f"{span.span_id:016x}"
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        if record.stack_info:
            line["stack"] = record.stack_info
        return json.dumps(line, default=str)


def worth_exporting(record: logging.LogRecord) -> bool:
    """Whether a record goes out by OTLP.

    Not the exporter's own complaints, which would feed on themselves, and not the
    access log: the server's span says the same, and more.
    """
    return not record.name.startswith("opentelemetry") and record.name != ACCESS
