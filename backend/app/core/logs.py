"""Log lines of every process: JSON for machines, text for people at a terminal.

Every line has the request id, the task id and the ids of trace and span, where there
are any. Payloads are never logged.
"""

import json
import logging
import sys
import time
from typing import Any

from opentelemetry import trace
from opentelemetry._logs import LoggerProvider, SeverityNumber
from opentelemetry.context import get_current

from app.core import tracing
from app.core.config import Settings
from app.core.request_id import current_request_id
from app.core.task_id import current_task_id

TEXT = "%(asctime)s %(levelname)-7s %(name)s [%(request_id)s] %(message)s"
ACCESS = "app.access"

# Fields beside the message that a line may carry, by the names of OpenTelemetry.
FIELDS = "fields"


def context() -> dict[str, str]:
    """What the line belongs to; what there is none of is left out."""
    found = {}
    if (request_id := current_request_id.get()) != "-":
        found["request_id"] = request_id
    if task_id := current_task_id.get():
        found["task_id"] = task_id
    if tracing.on():
        span = trace.get_current_span().get_span_context()
        if span.is_valid:
            found["trace_id"] = f"{span.trace_id:032x}"
            found["span_id"] = f"{span.span_id:016x}"
    return found


class TextFormatter(logging.Formatter):
    """One line for people, and a traceback below it."""

    def __init__(self) -> None:
        super().__init__(TEXT)

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        record.request_id = current_request_id.get()
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
            **context(),
            **getattr(record, FIELDS, {}),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        if record.stack_info:
            line["stack"] = record.stack_info
        return json.dumps(line, default=str)


class OtlpHandler(logging.Handler):
    """Gives log records to OpenTelemetry, which correlates them with spans."""

    def __init__(self, provider: LoggerProvider) -> None:
        super().__init__()
        self._provider = provider
        self.addFilter(_worth_exporting)

    def emit(self, record: logging.LogRecord) -> None:
        """Queue the record; never waits, the queue is bounded."""
        attributes = context()
        attributes.pop("trace_id", None)  # the context has them
        attributes.pop("span_id", None)
        error = record.exc_info[1] if record.exc_info else None
        self._provider.get_logger(record.name).emit(
            timestamp=int(record.created * 1e9),
            context=get_current(),
            severity_number=_severity(record.levelno),
            severity_text=record.levelname,
            body=record.getMessage(),
            attributes={**attributes, **getattr(record, FIELDS, {})},
            exception=error,
        )


def _worth_exporting(record: logging.LogRecord) -> bool:
    # Not the exporter's own complaints, which would feed on themselves, and not the
    # access log: the server's span says the same, and more.
    return not record.name.startswith("opentelemetry") and record.name != ACCESS


def _severity(level: int) -> SeverityNumber:
    if level >= logging.CRITICAL:
        return SeverityNumber.FATAL
    if level >= logging.ERROR:
        return SeverityNumber.ERROR
    if level >= logging.WARNING:
        return SeverityNumber.WARN
    return SeverityNumber.INFO if level >= logging.INFO else SeverityNumber.DEBUG


def configure_logging(settings: Settings, service: str) -> None:
    """Send everything to standard error: ``LOG_FORMAT``, or what suits its reader."""
    chosen = settings.log_format or ("text" if sys.stderr.isatty() else "json")
    handler = logging.StreamHandler()
    handler.setFormatter(
        TextFormatter() if chosen == "text" else JsonFormatter(service)
    )
    logging.basicConfig(level=settings.log_level, handlers=[handler], force=True)
    logging.getLogger("amqp").setLevel(logging.WARNING)
