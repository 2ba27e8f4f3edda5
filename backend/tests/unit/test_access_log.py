"""One log line per request."""

import logging
from types import SimpleNamespace
from typing import Any

import pytest
from starlette.types import Message, Scope

from app.api.middleware import access_log
from app.api.middleware.access_log import AccessLogMiddleware
from chassis.logs import ACCESS


class Route:
    path = "/items/{id}"


async def answer(scope: Scope, receive: Any, send: Any) -> None:
    scope["route"] = Route()
    if scope["path"].endswith("bug"):
        raise RuntimeError
    await send({"type": "http.response.start", "status": 404, "headers": []})
    await send({"type": "http.response.body"})


async def ignore(_: Message) -> None:
    pass


@pytest.mark.parametrize(("path", "status"), [("/v1/items/7", 404), ("/v1/a/bug", 500)])
async def test_each_request_logs_one_line(
    path: str, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    scope = {"type": "http", "method": "GET", "path": path, "client": ("10.0.0.1", 9)}
    caplog.set_level(logging.INFO, ACCESS)
    try:
        await AccessLogMiddleware(answer)(scope, None, ignore)  # type: ignore[arg-type]
    except RuntimeError:
        assert status == 500
    (line,) = caplog.records
    assert vars(line)["duration_ms"] >= 0
    expected = {
        "http.request.method": "GET",
        "http.route": "/v1/items/{id}",
        "http.response.status_code": status,
        "client.address": "10.0.0.1",
    }
    assert expected.items() <= vars(line).items()


async def test_a_line_has_milliseconds_and_no_query(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A query may hold what clients keep secret."""
    clock = SimpleNamespace(perf_counter=iter((10.0, 11.2345)).__next__)
    monkeypatch.setattr(access_log, "time", clock)
    scope: Scope = {"type": "http", "method": "GET", "path": "/v1/items/7"}
    scope["query_string"] = b"token=secret"
    caplog.set_level(logging.INFO, ACCESS)
    await AccessLogMiddleware(answer)(scope, None, ignore)  # type: ignore[arg-type]
    (line,) = caplog.records
    assert line.getMessage() == "GET /v1/items/7 404 1234.5 ms"
    assert vars(line)["duration_ms"] == 1234.5
    assert "secret" not in str(vars(line))


async def test_probes_are_logged_at_debug(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, ACCESS)
    scope = {"type": "http", "method": "GET", "path": "/health/live"}
    await AccessLogMiddleware(answer)(scope, None, ignore)  # type: ignore[arg-type]
    assert not caplog.records


@pytest.mark.parametrize(
    ("start", "status"),
    [
        (
            {
                "type": "http.response.start",
                "status": 200,
                "headers": [(b"content-type", b"text/event-stream; charset=utf-8")],
            },
            200,
        ),
        ({"type": "websocket.accept", "headers": []}, 101),
    ],
)
async def test_a_stream_logs_one_line_when_it_begins(
    start: Message, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    """It may last for hours."""
    scope: Scope = {"type": "websocket", "path": "/v1/events/ws"}
    caplog.set_level(logging.INFO, ACCESS)

    async def stream(_: Scope, __: Any, send: Any) -> None:
        await send(start)
        assert len(caplog.records) == 1
        await send({"type": "websocket.close"})

    await AccessLogMiddleware(stream)(scope, None, ignore)  # type: ignore[arg-type]
    (line,) = caplog.records
    assert vars(line)["http.response.status_code"] == status
