"""The fields of a log line, one by one: dashboards and alerts read them by name."""

import io
import json
import logging
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import Any

import pytest

from chassis.context import current_principal, current_task_id
from chassis.logs import ACCESS, JsonFormatter, configure_logging, log_work


@pytest.fixture
def given() -> Iterator[Callable[[ContextVar[Any], str], None]]:
    """Sets context variables for the length of a test."""
    tokens: list[Callable[[], None]] = []

    def give(variable: ContextVar[Any], value: str) -> None:
        token = variable.set(value)
        tokens.append(lambda: variable.reset(token))

    yield give
    for reset in reversed(tokens):
        reset()


@pytest.fixture
def lines() -> Iterator[Callable[[], list[dict[str, Any]]]]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    configure_logging("api", "INFO", "json")
    (handler,) = root.handlers
    assert isinstance(handler, logging.StreamHandler)
    handler.setStream(stream := io.StringIO())
    yield lambda: [json.loads(line) for line in stream.getvalue().splitlines()]
    root.handlers, root.level = handlers, level


def test_the_moment_is_in_utc_with_milliseconds() -> None:
    record = logging.makeLogRecord({"msg": "x", "created": 86_461.25, "msecs": 250.9})
    line = json.loads(JsonFormatter("api").format(record))
    assert line["timestamp"] == "1970-01-02T00:01:01.250Z"


def test_a_stack_that_was_asked_for_is_in_the_line(
    lines: Callable[[], list[dict[str, Any]]],
) -> None:
    logging.getLogger("app.x").info("here", stack_info=True)
    (line,) = lines()
    assert "test_a_stack_that_was_asked_for" in line["stack"]


def test_a_line_names_the_caller(
    lines: Callable[[], list[dict[str, Any]]],
    given: Callable[[ContextVar[Any], str], None],
) -> None:
    given(current_principal, "alice")
    logging.getLogger("app.x").info("here")
    logging.getLogger("app.x").info("here", extra={"enduser.id": "bob"})
    assert [line["enduser.id"] for line in lines()] == ["alice", "bob"]


def test_work_is_one_line_with_its_outcome_and_duration(
    lines: Callable[[], list[dict[str, Any]]],
    given: Callable[[ContextVar[Any], str], None],
) -> None:
    log_work("Handled", "work", "ok", 1.0123456)
    given(current_task_id, "t-1")
    log_work("Handled", "work", "too_large", 0.25)
    first, second = lines()
    assert first["message"] == "Handled: work ok 1012.4 ms"
    assert first["logger"] == ACCESS
    assert first["messaging.destination.name"] == "work"
    assert (first["outcome"], first["duration_ms"]) == ("ok", 1012.35)
    assert "task_id" not in first
    assert second["message"] == "Handled: work too_large 250.0 ms task t-1"
    assert (second["outcome"], second["task_id"]) == ("too_large", "t-1")


@pytest.mark.parametrize("name", ["amqp", "httpx2"])
def test_libraries_that_show_frames_or_whole_urls_are_quiet(
    name: str, lines: Callable[[], list[dict[str, Any]]]
) -> None:
    logging.getLogger(name).info("https://h/?token=s3cret")
    logging.getLogger(name).warning("lost")
    assert [line["message"] for line in lines()] == ["lost"]


@pytest.mark.parametrize("is_terminal", [True, False])
def test_text_at_a_terminal_and_json_elsewhere(
    is_terminal: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Stream(io.StringIO):
        def isatty(self) -> bool:
            return is_terminal

    stream = Stream()
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    monkeypatch.setattr("sys.stderr", stream)
    try:
        configure_logging("api", "INFO", None)
        logging.getLogger("app.x").info("here")
    finally:
        root.handlers, root.level = handlers, level
    (line,) = stream.getvalue().splitlines()
    assert line.startswith("{") is not is_terminal
    assert line.endswith(" INFO    app.x [-] here") is is_terminal
