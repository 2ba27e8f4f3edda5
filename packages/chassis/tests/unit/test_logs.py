"""Log lines for machines."""

import json
import logging
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from starlette.types import Message, Scope

from app.api.middleware.access_log import AccessLogMiddleware
from app.core.logs import ACCESS, FIELDS, JsonFormatter, TextFormatter
from app.core.request_id import current_request_id
from app.core.task_id import current_task_id


@pytest.fixture
def ids() -> Iterator[None]:
    request, task = current_request_id.set("r-1"), current_task_id.set("t-1")
    yield
    current_task_id.reset(task)
    current_request_id.reset(request)


def record(message: str, **more: Any) -> logging.LogRecord:
    made = logging.LogRecord("app.x", logging.INFO, "f", 1, message, ("a\n",), None)
    made.__dict__.update(more)
    return made


def test_a_line_is_one_json_object_with_the_ids(ids: None) -> None:
    text = JsonFormatter("api").format(record("hello %s", **{FIELDS: {"n": 1}}))
    assert "\n" not in text
    line = json.loads(text)
    assert line.pop("timestamp").endswith("Z")
    assert line == {
        "level": "INFO",
        "service": "api",
        "logger": "app.x",
        "message": "hello a\n",
        "request_id": "r-1",
        "task_id": "t-1",
        "n": 1,
    }


def test_a_traceback_stays_in_the_line() -> None:
    try:
        raise ValueError("odd")
    except ValueError:
        text = JsonFormatter("api").format(record("%s", exc_info=sys.exc_info()))
    assert "\n" not in text
    assert "ValueError: odd" in json.loads(text)["exception"]


def test_text_is_for_people(ids: None) -> None:
    assert "[r-1] hello a" in TextFormatter().format(record("hello %s"))


class Route:
    path = "/items/{id}"


async def answer(scope: Scope, receive: Any, send: Any) -> None:
    scope["route"] = Route()
    if scope["path"].endswith("bug"):
        raise RuntimeError
    await send({"type": "http.response.start", "status": 404, "headers": []})
    await send({"type": "http.response.body"})


@pytest.mark.parametrize(("path", "status"), [("/v1/items/7", 404), ("/v1/a/bug", 500)])
async def test_each_request_is_one_access_line(
    path: str, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    async def send(_: Message) -> None:
        pass

    scope = {"type": "http", "method": "GET", "path": path, "client": ("10.0.0.1", 9)}
    caplog.set_level(logging.INFO, ACCESS)
    try:
        await AccessLogMiddleware(answer)(scope, None, send)  # type: ignore[arg-type]
    except RuntimeError:
        assert status == 500
    (line,) = caplog.records
    fields = getattr(line, FIELDS)
    assert fields.pop("duration_ms") >= 0
    assert fields == {
        "http.request.method": "GET",
        "http.route": "/v1/items/{id}",
        "http.response.status_code": status,
        "client.address": "10.0.0.1",
    }


async def test_probes_are_logged_for_debugging_only(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def send(_: Message) -> None:
        pass

    caplog.set_level(logging.INFO, ACCESS)
    scope = {"type": "http", "method": "GET", "path": "/health/live"}
    await AccessLogMiddleware(answer)(scope, None, send)  # type: ignore[arg-type]
    assert not caplog.records
