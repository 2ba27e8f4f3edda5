"""Log lines: JSON for machines, text for people at a terminal; never a payload."""

import contextvars
import json
import logging
import sys
import time
from typing import Any

from opentelemetry import context, trace
from opentelemetry._logs import LoggerProvider, SeverityNumber

TEXT = "%(asctime)s %(levelname)-7s %(name)s [%(request_id)s] %(message)s"

#: Ids of the request that the thread works on: `request_id`, `task_id`.
current_ids: contextvars.ContextVar[dict[str, str]] = contextvars.ContextVar(
    "current_ids", default={}
)


class TextFormatter(logging.Formatter):
    def __init__(self) -> None:
        super().__init__(TEXT)

    def format(self, record: logging.LogRecord) -> str:
        record.request_id = current_ids.get().get("request_id", "-")
        return super().format(record)


class JsonFormatter(logging.Formatter):
    """One JSON object on one line, whatever is in it."""

    def __init__(self, service: str) -> None:
        super().__init__()
        self._service = service

    def format(self, record: logging.LogRecord) -> str:
        moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        line: dict[str, Any] = {
            "timestamp": f"{moment}.{int(record.msecs):03d}Z",
            "level": record.levelname,
            "service": self._service,
            "logger": record.name,
            "message": record.getMessage(),
            **current_ids.get(),
        }
        span = trace.get_current_span().get_span_context()
        if span.is_valid:
            line["trace_id"] = f"{span.trace_id:032x}"
            line["span_id"] = f"{span.span_id:016x}"
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


class OtlpHandler(logging.Handler):
    """Gives log records to OpenTelemetry, which correlates them with spans.

    Not those of the exporters themselves: they would feed on their own complaints.
    """

    def __init__(self, provider: LoggerProvider) -> None:
        super().__init__()
        self._provider = provider
        self.addFilter(lambda record: not record.name.startswith("opentelemetry"))

    def emit(self, record: logging.LogRecord) -> None:
        self._provider.get_logger(record.name).emit(
            timestamp=int(record.created * 1e9),
            context=context.get_current(),
            severity_number=_severity(record.levelno),
            severity_text=record.levelname,
            body=record.getMessage(),
            attributes=dict(current_ids.get()),
            exception=record.exc_info[1] if record.exc_info else None,
        )


def _severity(level: int) -> SeverityNumber:
    if level >= logging.CRITICAL:
        return SeverityNumber.FATAL
    if level >= logging.ERROR:
        return SeverityNumber.ERROR
    if level >= logging.WARNING:
        return SeverityNumber.WARN
    return SeverityNumber.INFO if level >= logging.INFO else SeverityNumber.DEBUG


def configure_logging(service: str, level: str, chosen: str | None) -> None:
    """Sends everything to standard error.

    `chosen` is `json` or `text`; text at a terminal and JSON elsewhere if None.
    """
    handler = logging.StreamHandler()
    if (chosen or ("text" if sys.stderr.isatty() else "json")) == "text":
        handler.setFormatter(TextFormatter())
    else:
        handler.setFormatter(JsonFormatter(service))
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
