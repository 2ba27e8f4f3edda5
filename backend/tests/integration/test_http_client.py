"""Requests to other servers, over real sockets, to servers that fail in every way."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from types import SimpleNamespace

import pytest
from fastapi import APIRouter
from httpx2 import ASGITransport, AsyncClient, Limits, Timeout
from opentelemetry import trace

from app.api.dependencies import HttpClientDep
from app.core.exceptions import (
    ApplicationError,
    DeadlineExceeded,
    RemoteUnavailable,
    TooManyInFlight,
)
from app.infrastructure.http import LIMITS, TIMEOUT, HttpClient, HttpConnections
from chassis.telemetry import tracing
from local.ports import free_port
from tests.echo import create_echo_app

Side = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]

Serve = Callable[[Side], Awaitable[str]]

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n"


def answering(answer: bytes, then: float = 0) -> Side:
    async def side(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        await writer.drain()
        await asyncio.sleep(then)
        writer.close()

    return side


async def dripping(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Sends a byte now and then, and never finishes."""
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
    while not writer.is_closing():
        writer.write(b"x")
        await asyncio.sleep(0.02)


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    servers: list[asyncio.Server] = []

    async def start(side: Side) -> str:
        servers.append(await asyncio.start_server(side, "127.0.0.1", 0))
        return "http://127.0.0.1:%d/" % servers[-1].sockets[0].getsockname()[1]

    yield start
    for server in servers:
        server.close()


@pytest.fixture
async def connections() -> AsyncIterator[HttpConnections]:
    connections = HttpConnections()
    yield connections
    await connections.close()


@pytest.fixture
async def client(connections: HttpConnections) -> HttpClient:
    return await connections.get()


@pytest.mark.promise(
    "docs/ENDPOINTS.md", "Each process has one client, created on first use."
)
async def test_there_is_one_client_and_it_is_closed() -> None:
    connections = HttpConnections()
    first, second = await asyncio.gather(connections.get(), connections.get())
    assert first is second and not first.is_closed
    await connections.close()
    assert first.is_closed


async def test_no_request_creates_no_client() -> None:
    await HttpConnections().close()


@pytest.mark.parametrize("status", [200, 204, 301, 404, 422])
async def test_other_answers_are_returned(
    client: HttpClient, serve: Serve, status: int
) -> None:
    head = b"HTTP/1.1 %d Any\r\nContent-Length: 0\r\n\r\n" % status
    answer = await client.get(await serve(answering(head)))
    assert answer.status_code == status


@pytest.mark.parametrize(
    ("side", "error"),
    [
        (
            answering(b"HTTP/1.1 500 Bad\r\nContent-Length: 0\r\n\r\n"),
            RemoteUnavailable,
        ),
        (
            answering(b"HTTP/1.1 429 Slow\r\nContent-Length: 0\r\n\r\n"),
            RemoteUnavailable,
        ),
        (answering(b"SSH-2.0\r\n"), RemoteUnavailable),
        (answering(b""), RemoteUnavailable),
        (answering(OK + b"x"), RemoteUnavailable),
        (answering(b"", then=5), DeadlineExceeded),
        (answering(OK, then=5), DeadlineExceeded),
    ],
    ids=["500", "429", "no-http", "closed", "cut", "silent", "no-body"],
)
@pytest.mark.parametrize("is_streamed", [False, True])
async def test_servers_that_fail(
    client: HttpClient,
    serve: Serve,
    side: Side,
    error: type[ApplicationError],
    is_streamed: bool,
) -> None:
    url = await serve(side)
    with pytest.raises(error, match="127.0.0.1"):
        if is_streamed:
            async with client.stream("GET", url, timeout=0.3) as answer:
                await answer.aread()
        else:
            await client.get(url, timeout=0.3)


async def test_a_failure_gives_its_connection_back(serve: Serve) -> None:
    failure = b"HTTP/1.1 503 Away\r\nContent-Length: 2\r\n\r\nno"
    url = await serve(answering(failure))
    limits = Limits(max_connections=1)
    async with HttpClient(timeout=Timeout(5, pool=0.1), limits=limits) as client:
        for _ in range(2):
            with pytest.raises(RemoteUnavailable, match="503"):
                async with client.stream("GET", url):
                    pass


async def test_the_timeout_covers_the_whole_answer(
    client: HttpClient, serve: Serve
) -> None:
    with pytest.raises(DeadlineExceeded):
        await client.get(await serve(dripping), timeout=0.3)


async def test_no_server_listens(client: HttpClient) -> None:
    with pytest.raises(RemoteUnavailable):
        await client.get(f"http://127.0.0.1:{free_port()}/")


@pytest.mark.promise("docs/ENDPOINTS.md", "It keeps connections open, at most 100.")
async def test_the_number_of_connections_is_bounded(
    client: HttpClient, serve: Serve
) -> None:
    url = await serve(answering(b"", then=5))
    assert LIMITS.max_connections and TIMEOUT.pool == 1
    async with asyncio.TaskGroup() as group:
        tasks = [
            group.create_task(_outcome(client, url))
            for _ in range(LIMITS.max_connections + 1)
        ]
    outcomes = [task.result() for task in tasks]
    assert outcomes.count(TooManyInFlight) == 1
    assert outcomes.count(DeadlineExceeded) == LIMITS.max_connections


async def _outcome(client: HttpClient, url: str) -> type[BaseException]:
    with pytest.raises(ApplicationError) as raised:
        await client.get(url, timeout=Timeout(2, pool=0.2))
    return raised.type


async def test_an_endpoint_says_what_failed(
    connections: HttpConnections, serve: Serve
) -> None:
    router = APIRouter()

    @router.get("/ask")
    async def ask(http: HttpClientDep, url: str) -> int:
        return (await http.get(url, timeout=0.3)).status_code

    app = create_echo_app()
    app.include_router(router)
    app.state.resources = SimpleNamespace(http=connections)
    transport = ASGITransport(app, raise_app_exceptions=False)
    async with AsyncClient(transport=transport, base_url="http://test") as api:
        sides: list[tuple[Side, int, str]] = [
            (answering(b""), 503, "remote_unavailable"),
            (answering(b"", then=5), 504, "deadline_exceeded"),
        ]
        for side, status, code in sides:
            answer = await api.get("/ask", params={"url": await serve(side)})
            assert (answer.status_code, answer.json()["code"]) == (status, code)


@pytest.mark.parametrize("is_enabled", [True, False])
async def test_requests_propagate_the_trace(
    serve: Serve,
    connections: HttpConnections,
    monkeypatch: pytest.MonkeyPatch,
    is_enabled: bool,
) -> None:
    heads: list[bytes] = []

    async def side(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(OK + b"ok")

    monkeypatch.setattr(tracing, "is_enabled", lambda: is_enabled)
    client = await connections.get()
    caller = trace.SpanContext(7, 8, is_remote=False, trace_flags=trace.TraceFlags(1))
    with trace.use_span(trace.NonRecordingSpan(caller)):
        assert (await client.get(await serve(side))).text == "ok"
    assert (b"traceparent: 00-%032x-" % 7 in heads[0]) == is_enabled
