"""Log lines, for machines and for people."""

import io
import json
import logging
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags

from chassis.context import current_principal, current_request_id, current_task_id
from chassis.logs import (
    ACCESS,
    JsonFormatter,
    configure_logging,
    is_worth_exporting,
    together,
)

Configure = Callable[..., io.StringIO]
Lines = Callable[[], list[Any]]

logger = logging.getLogger("app.x")


@pytest.fixture
def ids() -> Iterator[None]:
    request, task = current_request_id.set("r-1"), current_task_id.set("t-1")
    yield
    current_task_id.reset(task)
    current_request_id.reset(request)


@pytest.fixture
def configure() -> Iterator[Configure]:
    """Configure logging; log lines go to the returned stream. Pytest's own handlers are
    restored afterwards."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level

    def configure(log_format: str | None, level: str = "INFO") -> io.StringIO:
        root.handlers = []
        configure_logging("api", level, log_format)
        (handler,) = root.handlers
        assert isinstance(handler, logging.StreamHandler)
        handler.setStream(stream := io.StringIO())
        return stream

    yield configure
    root.handlers, root.level = handlers, level


@pytest.fixture
def lines(configure: Configure) -> Lines:
    """The lines, parsed as JSON."""
    stream = configure("json")
    return lambda: [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_line_is_one_json_object_with_the_ids(lines: Lines, ids: None) -> None:
    logger.info("hello %s", "a\n", extra={"http.route": "/x", "n": 1})
    (line,) = lines()
    assert line.pop("timestamp").endswith("Z")
    assert line == {
        "level": "INFO",
        "service": "api",
        "logger": "app.x",
        "message": "hello a\n",
        "request_id": "r-1",
        "task_id": "t-1",
        "http.route": "/x",
        "n": 1,
    }


def test_outside_of_a_request_there_are_no_ids(lines: Lines) -> None:
    logger.info("hello")
    assert {"request_id", "task_id", "trace_id"}.isdisjoint(*lines())


def test_a_line_names_its_span(lines: Lines) -> None:
    span = NonRecordingSpan(SpanContext(0xAB, 0xCD, False, TraceFlags(1)))
    with trace.use_span(span):
        logger.info("hello")
    (line,) = lines()
    assert line["trace_id"] == f"{0xAB:032x}"
    assert line["span_id"] == f"{0xCD:016x}"


def test_extra_fields_never_replace_those_of_the_line(lines: Lines, ids: None) -> None:
    logger.info("hello", extra={"request_id": "own", "level": "x", "odd": object()})
    (line,) = lines()
    assert (line["request_id"], line["level"]) == ("own", "INFO")
    assert line["odd"].startswith("<object")


def test_extra_fields_replace_the_ids_of_the_context(lines: Lines, ids: None) -> None:
    """A line about other work names that work."""
    own = {"request_id": "r-2", "task_id": "t-2", "enduser.id": "bob"}
    caller = current_principal.set("ada")
    logger.info("hello", extra=own)
    current_principal.reset(caller)
    (line,) = lines()
    assert {name: line[name] for name in own} == own


def test_a_traceback_stays_in_the_line(lines: Lines) -> None:
    try:
        raise ValueError("odd")
    except ValueError:
        logger.exception("failed")
    (line,) = lines()
    assert "ValueError: odd" in line["exception"]


@pytest.mark.parametrize(
    ("name", "field"), [("celery.app.trace", "data"), ("uvicorn", "color_message")]
)
def test_private_fields_of_libraries_are_left_out(
    lines: Lines, name: str, field: str
) -> None:
    """Celery adds the arguments of a task, and payloads are never logged."""
    logging.getLogger(name).info("x", extra={field: {"args": "(secret)"}, "n": 1})
    (line,) = lines()
    assert field not in line
    assert line["n"] == 1


def test_text_is_for_people(configure: Configure, ids: None) -> None:
    stream = configure("text")
    logger.info("hello %s", "you", extra={"n": 1})
    assert stream.getvalue().endswith("INFO    app.x [r-1] hello you\n")


def test_text_outside_of_a_request(configure: Configure) -> None:
    stream = configure("text")
    logger.info("hello")
    assert "app.x [-] hello" in stream.getvalue()


def test_json_is_the_default_without_a_terminal(configure: Configure) -> None:
    stream = configure(None, "WARNING")
    logger.info("not this")
    logger.warning("but this")
    assert json.loads(stream.getvalue())["message"] == "but this"


@pytest.mark.parametrize(
    ("name", "expected"),
    [("app.x", True), (ACCESS, False), ("opentelemetry.sdk.trace", False)],
)
def test_which_records_are_exported(name: str, expected: bool) -> None:
    record = logging.makeLogRecord({"name": name})
    assert is_worth_exporting(record) is expected


class Writes(io.StringIO):
    """Remembers each write."""

    def __init__(self) -> None:
        super().__init__()
        self.pieces: list[str] = []

    def write(self, text: str) -> int:
        self.pieces.append(text)
        return super().write(text)


def test_the_time_of_a_line_is_that_of_utc(monkeypatch: pytest.MonkeyPatch) -> None:
    record = logging.makeLogRecord({"created": 0.05, "msecs": 50.0})
    try:
        monkeypatch.setenv("TZ", "JST-9")
        time.tzset()
        line = json.loads(JsonFormatter("api").format(record))
    finally:
        monkeypatch.undo()
        time.tzset()
    assert line["timestamp"] == "1970-01-01T00:00:00.050Z"


def test_lines_before_an_error_are_written(configure: Configure) -> None:
    stream = configure("text")
    with pytest.raises(LookupError), together():
        logger.info("said before")
        raise LookupError
    assert "said before" in stream.getvalue()


def test_lines_logged_together_are_one_write(configure: Configure) -> None:
    configure("text")
    (handler,) = logging.getLogger().handlers
    assert isinstance(handler, logging.StreamHandler)
    handler.setStream(stream := Writes())
    other = threading.Thread(target=logger.info, args=["of another thread"])
    with together():
        logger.info("one")
        other.start()
        other.join(0.1)
        logger.info("two")
        assert not stream.pieces
    other.join()
    first, second = stream.pieces
    assert [line[-3:] for line in first.splitlines()] == ["one", "two"]
    assert second.endswith("of another thread\n")
    logger.info("three")
    assert len(stream.pieces) == 3


@pytest.mark.parametrize("client", ["httpx2", "amqp"])
def test_libraries_of_connections_log_only_what_is_wrong(
    configure: Configure, client: str
) -> None:
    """Their other lines have whole URLs, which may hold secrets, or are too many."""
    logging.getLogger(client).setLevel(logging.NOTSET)
    stream = configure("text")
    logging.getLogger(client).info("POST https://example.org/?token=sesame")
    logging.getLogger(client).warning("wrong")
    assert "sesame" not in stream.getvalue() and "wrong" in stream.getvalue()


def test_unconfigured_logging_gathers_no_lines() -> None:
    with together():
        logger.info("hello")
