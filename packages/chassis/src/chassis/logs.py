"""Log lines of every process: JSON for machines, text for people at a terminal.

Every line has the request id and the task id if there are any; JSON also has the ids of
trace and span, and the ``extra=`` fields under OpenTelemetry's names. Payloads are
never logged.
"""

import json
import logging
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, TextIO

from opentelemetry import trace

from chassis.breakpoints import pass_over_breakpoints
from chassis.context import current_principal, current_request_id, current_task_id

TEXT = "%(asctime)s %(levelname)-7s %(name)s [%(request_id)s] %(message)s"

#: The logger of requests and tasks: one line per process for each.
ACCESS = "app.access"

access = logging.getLogger(ACCESS)

# The attributes of every record; all others come from ``extra=`` or the context.
_STANDARD = {*vars(logging.makeLogRecord({})), "message", "asctime", "taskName"}

# Attributes that libraries add for their own handlers: Celery's has a task's arguments.
_UNWANTED = {"celery": "data", "uvicorn": "color_message"}


_together: Callable[[], AbstractContextManager[None]] = nullcontext

# Built once: json.dumps() with options builds an encoder per line.
_encode = json.JSONEncoder(default=str).encode


def configure_logging(service: str, level: str, log_format: str | None) -> None:
    """Log everything to standard error, also each ``breakpoint()`` without a debugger.

    Args:
        service: the name of this kind of process.
        log_format: ``json`` or ``text``; if None, text at a terminal and JSON
            elsewhere.
    """
    global _together
    chosen = log_format or ("text" if sys.stderr.isatty() else "json")
    handler = LineHandler()
    _together = handler.together
    handler.addFilter(add_context)
    handler.setFormatter(
        logging.Formatter(TEXT, defaults={"request_id": "-"})
        if chosen == "text"
        else JsonFormatter(service)
    )
    logging.basicConfig(level=level, handlers=[handler], force=True)
    logging.getLogger("amqp").setLevel(logging.WARNING)
    # Its lines have whole URLs, which may hold secrets of others.
    logging.getLogger("httpx2").setLevel(logging.WARNING)
    pass_over_breakpoints()


def together() -> AbstractContextManager[None]:
    """Write the lines that are logged inside together, at the end.

    A write lets other threads run and then has to wait for them: that costs more than
    the line.
    """
    return _together()


class LineHandler(logging.StreamHandler[TextIO]):
    """Writes to standard error."""

    _gathered: list[str] | None = None

    @contextmanager
    def together(self) -> Iterator[None]:
        """See the function of the same name; other threads' lines wait for the end."""
        with self.lock or nullcontext():
            lines: list[str] = []
            self._gathered = lines
            try:
                yield
            finally:
                self._gathered = None
                if lines:
                    self.stream.write("".join(lines))
                    self.flush()

    def emit(self, record: logging.LogRecord) -> None:
        """One line."""
        if self._gathered is None:
            super().emit(record)
        else:
            self._gathered.append(self.format(record) + self.terminator)


def add_context(record: logging.LogRecord) -> bool:
    """A filter for handlers: adds the ids of request, task and caller to the record.

    It omits ids that are not set, and ``extra=`` wins.
    """
    fields = vars(record)
    if (request_id := current_request_id.get()) != "-":
        fields.setdefault("request_id", request_id)
    if task_id := current_task_id.get():
        fields.setdefault("task_id", task_id)
    if principal := current_principal.get():
        fields.setdefault("enduser.id", principal)
    fields.pop(_UNWANTED.get(record.name.partition(".")[0], ""), None)
    return True


def log_work(message: str, queue: str | None, outcome: str, seconds: float) -> None:
    """Log the one line of a piece of work: a request that a service handled, or a task
    that a worker ran.

    Args:
        queue: the service's queue.
        outcome: ``ok``, or the error code.
    """
    if not access.isEnabledFor(logging.INFO):
        return
    milliseconds, task_id = round(seconds * 1000, 2), current_task_id.get()
    fields = {
        "messaging.destination.name": queue,
        "outcome": outcome,
        "duration_ms": milliseconds,
    }
    text = f"{message}: %s %s %.1f ms" + (" task %s" if task_id else "")
    ids = (task_id,) if task_id else ()
    access.info(text, queue, outcome, milliseconds, *ids, extra=fields)


def is_worth_exporting(record: logging.LogRecord) -> bool:
    """A filter for the handler that exports over OTLP.

    It drops the exporter's own errors, which would feed on themselves, and the access
    log: the request's span contains more.
    """
    return not record.name.startswith("opentelemetry") and record.name != ACCESS


class JsonFormatter(logging.Formatter):
    """One JSON object per line, whatever the record contains."""

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
        }
        for name, value in vars(record).items():
            if name not in _STANDARD:
                line.setdefault(name, value)
        span = trace.get_current_span().get_span_context()
        if span.is_valid:
            line["trace_id"] = f"{span.trace_id:032x}"
            line["span_id"] = f"{span.span_id:016x}"
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        if record.stack_info:
            line["stack"] = record.stack_info
        return _encode(line)
