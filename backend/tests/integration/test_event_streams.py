"""Events over HTTP: lists, server-sent events, WebSocket, with real servers."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any
from uuid import uuid4

import pytest
from fastapi import FastAPI
from httpx2 import AsyncClient, Response
from pydantic import SecretStr
from sqlalchemy import make_url
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from app.api import event_streams
from app.api.security import READ_EVENTS
from app.core.auth_settings import AuthSettings
from app.core.browser_settings import CorsSettings
from app.core.config import Settings
from app.core.database_settings import DatabaseSettings
from app.core.event_settings import SOURCE, EventLogSettings
from app.core.principal import ADMIN
from app.core.redis_settings import CelerySettings, IdempotencySettings
from app.infrastructure.postgres.group_commit import GroupCommit
from app.models.schemas import TaskStatus
from app.repositories.data_repository import DataRepository
from app.resources import open_resources
from app.services import event_stream
from chassis.settings import RabbitMQSettings
from local.servers.redis import Redis
from tests.echo import create_echo_app
from tests.integration.provider import AUDIENCE, FakeProvider, running_provider
from tests.integration.relay import Nat
from tests.integration.serving import serving

EVENTS = "/api/v1/events"
STREAM = f"{EVENTS}/stream"
WS = f"{EVENTS}/ws"


@pytest.fixture(scope="session")
def provider() -> Any:
    with running_provider() as found:
        yield found


@pytest.fixture
def settings(
    rabbitmq_settings: RabbitMQSettings,
    database_settings: DatabaseSettings,
    redis_server: Redis,
) -> Settings:
    url = SecretStr(redis_server.url(0))
    return Settings(
        rabbitmq=rabbitmq_settings,
        database=database_settings,
        celery=CelerySettings(broker_url=url, result_backend=url),
        idempotency=IdempotencySettings(redis_url=url),
        cors=CorsSettings(origins=["https://app.example"]),
    )


Serve = Any


@pytest.fixture
async def serve(settings: Settings) -> AsyncIterator[Serve]:
    """Starts an API with these settings; gives its client."""
    async with AsyncExitStack() as started:

        async def start(**changes: Any) -> AsyncClient:
            changed = settings.model_copy(update=changes)
            app: FastAPI = create_echo_app(changed)
            resources = await started.enter_async_context(
                open_resources(changed, app.state.budget)
            )
            app.state.resources = resources
            url = await started.enter_async_context(serving(app))
            http = AsyncClient(base_url=url, timeout=10)
            http.app = app  # type: ignore[attr-defined]
            started.push_async_callback(resources.events.feed.close)
            return await started.enter_async_context(http)

        yield start


async def add(
    commits: GroupCommit,
    status: TaskStatus = TaskStatus.SUCCESS,
    owner: str | None = None,
    payload: Any = 1,
) -> str:
    task_id = str(uuid4())
    await commits.add(
        [
            DataRepository.row(
                task_id=task_id, task_status=status, owner=owner, payload=payload
            )
        ]
    )
    return task_id


class Source:
    """Reads server-sent events as browsers do."""

    def __init__(self, answer: Response) -> None:
        self._blocks = self._read(answer)
        self.last_id = ""
        self.retry: int | None = None

    async def _read(self, answer: Response) -> AsyncIterator[dict[str, str]]:
        fields: dict[str, str] = {}
        async for line in answer.aiter_lines():
            if line:
                name, _, value = line.partition(": ")
                fields[name] = value
                continue
            self.last_id = fields.get("id", self.last_id)
            self.retry = int(fields["retry"]) if "retry" in fields else self.retry
            yield fields
            fields = {}

    async def block(self) -> dict[str, str]:
        async with asyncio.timeout(10):
            return await anext(self._blocks)

    async def next(self) -> Any:
        """The next event; its type is checked."""
        while True:
            block = await self.block()
            if "data" in block:
                event = json.loads(block["data"])
                if block["event"] != "stream.closed":
                    assert event["type"] == block["event"]
                    assert event["sequence"] == block["id"]
                return event

    async def is_over(self) -> bool:
        async with asyncio.timeout(10):
            return await anext(self._blocks, None) is None


@asynccontextmanager
async def source(
    http: AsyncClient, headers: dict[str, str] | None = None, **parameters: Any
) -> AsyncIterator[Source]:
    async with http.stream("GET", STREAM, params=parameters, headers=headers) as answer:
        assert answer.status_code == 200, await answer.aread()
        assert answer.headers["content-type"].startswith("text/event-stream")
        found = Source(answer)
        await found.block()  # the position
        yield found


def websocket(http: AsyncClient, query: str = "", **more: Any) -> Any:
    address = str(http.base_url).replace("http://", "ws://").rstrip("/")
    return connect(f"{address}{WS}{query}", **more)


async def received(connection: ClientConnection) -> Any:
    async with asyncio.timeout(10):
        return json.loads(await connection.recv())


async def test_a_list_has_every_event_once(serve: Serve, commits: GroupCommit) -> None:
    http = await serve()
    before = (await http.get(EVENTS, params={"limit": 1})).json()
    added = [await add(commits) for _ in range(5)]
    seen, url = [], f"{EVENTS}?limit=2"
    if before:
        url += f"&after={int(before[0]['sequence']) - 1}"
    while url:
        answer = await http.get(url)
        seen += [(event["id"], event["subject"]) for event in answer.json()]
        url = answer.links.get("next", {}).get("url", "")
    assert [subject for _, subject in seen[-5:]] == added
    assert len(set(seen)) == len(seen)
    one = await http.get(EVENTS, params={"task_id": added[2].upper()})
    (event,) = one.json()
    assert event["type"] == "record.succeeded" and event["specversion"] == "1.0"
    assert event["data"]["payload"] == 1 and event["source"] == SOURCE
    none = await http.get(EVENTS, params={"task_id": added[2], "type": "record.failed"})
    assert none.json() == [] and "next" not in none.links


@pytest.mark.parametrize("broker", ["rabbitmq", "redis", "away"])
async def test_streams_show_what_happens(
    serve: Serve,
    settings: Settings,
    commits: GroupCommit,
    redis_server: Redis,
    broker: str,
) -> None:
    changes: dict[str, Any] = {}
    if broker == "redis":
        url = SecretStr(redis_server.url(1))
        changes["rpc"] = settings.rpc.model_copy(update={"broker_url": url})
    if broker == "away":
        changes["rabbitmq"] = settings.rabbitmq.model_copy(update={"port": 1})
    http = await serve(**changes)
    async with source(http) as sse, websocket(http) as ws:
        added = [await add(commits) for _ in range(3)]
        for task_id in added:
            assert (await sse.next())["subject"] == task_id
            assert (await received(ws))["subject"] == task_id


@pytest.mark.parametrize("lost", ["rabbitmq", "postgresql"])
async def test_streams_outlive_a_lost_server(
    serve: Serve,
    settings: Settings,
    database_settings: DatabaseSettings,
    commits: GroupCommit,
    lost: str,
) -> None:
    """Its connections break while events happen; the client notices nothing."""
    url = make_url(database_settings.database_url.get_secret_value())
    broker = settings.rabbitmq
    target = broker.port if lost == "rabbitmq" else url.port
    assert target
    async with Nat(target) as nat:
        far = url.set(host="127.0.0.1", port=nat.port)
        changes = {
            "rabbitmq": broker.model_copy(update={"port": nat.port}),
            "postgresql": database_settings.model_copy(
                update={
                    "database_url": SecretStr(far.render_as_string(hide_password=False))
                }
            ),
        }
        name = "rabbitmq" if lost == "rabbitmq" else "database"
        http = await serve(**{name: changes[lost]})
        async with source(http) as sse, websocket(http) as ws:
            for _ in range(4):
                added = [await add(commits)]
                nat.reset()
                added.append(await add(commits))
                for task_id in added:
                    assert (await sse.next())["subject"] == task_id
                    assert (await received(ws))["subject"] == task_id


@pytest.mark.promise("docs/EVENTS.md", "Streams show each event once, in order")
async def test_a_client_that_returns_misses_nothing(
    serve: Serve, commits: GroupCommit
) -> None:
    http, other = await serve(), await serve()
    async with source(http) as sse:
        new = sse.last_id  # even before its first event
    added = [await add(commits) for _ in range(4)]
    async with source(other, {"Last-Event-ID": new}, after=2**62) as sse:
        assert [(await sse.next())["subject"] for _ in added[:2]] == added[:2]
        last = sse.last_id
    async with source(http, after=last) as sse:
        assert [(await sse.next())["subject"] for _ in added[2:]] == added[2:]
        added.append(await add(commits))
        assert (await sse.next())["subject"] == added[-1]
    async with websocket(http, f"?after={last}") as ws:
        again = [(await received(ws))["subject"] for _ in added[2:]]
        assert again == added[2:]


async def test_a_stream_of_a_record_ends_with_it(
    serve: Serve, commits: GroupCommit
) -> None:
    http = await serve()
    task_id = await add(commits)
    for query in (task_id, task_id.upper()):
        async with source(http, task_id=query) as sse:
            assert (await sse.next())["type"] == "record.succeeded"
            assert await sse.is_over()
    answer = await http.get(
        STREAM, params={"task_id": task_id}, headers={"Last-Event-ID": sse.last_id}
    )
    assert answer.status_code == 204 and not answer.content
    async with websocket(http, f"?task_id={task_id}") as ws:
        assert (await received(ws))["type"] == "record.succeeded"
        assert await close_of(ws) == (1000, "ended")
    async with websocket(http, f"?task_id={task_id}&after={sse.last_id}") as ws:
        assert (await close_of(ws))[0] == 1000


async def close_of(ws: ClientConnection) -> tuple[int, str]:
    """The code and reason with which the other side closes."""
    async with asyncio.timeout(10):
        with pytest.raises(ConnectionClosed):
            while True:
                await ws.recv()
    code, reason = ws.close_code or 0, ws.close_reason or ""
    if reason.startswith("{"):
        parsed = json.loads(reason)
        assert parsed.get("retry", 1) > 0
        reason = parsed["code"]
    return code, reason


async def test_values_that_are_not_valid(serve: Serve) -> None:
    http = await serve()
    assert (await http.get(STREAM, params={"after": "x"})).status_code == 422
    for bad in ("x", "-1", str(2**63)):
        answer = await http.get(STREAM, headers={"Last-Event-ID": bad})
        assert answer.status_code == 422 and answer.json()["code"] == "invalid_values"
    answer = await http.get(STREAM, params={"task_id": str(uuid4())})
    assert answer.status_code == 404
    assert (await http.head(STREAM)).status_code == 200
    for query, status in (("?after=x", 422), (f"?task_id={uuid4()}", 404)):
        with pytest.raises(InvalidStatus) as refused:
            await websocket(http, query)
        assert refused.value.response.status_code == status
        problem = json.loads(refused.value.response.body or b"")
        assert problem["request_id"] == refused.value.response.headers["X-Request-ID"]


@pytest.mark.promise(
    "docs/SECURITY.md",
    "A stream shows the events that its caller may see when it opens.",
)
async def test_owners_see_their_own_events(
    serve: Serve, commits: GroupCommit, provider: FakeProvider
) -> None:
    auth = AuthSettings(issuer=provider.issuer, audience=AUDIENCE)
    http = await serve(auth=auth)
    hers = await add(commits, owner="alice")
    tokens = {
        "alice": provider.token(scope=READ_EVENTS, sub="alice"),
        "bob": provider.token(scope=READ_EVENTS, sub="bob"),
        "root": provider.token(scope=ADMIN, sub="root"),
    }
    headers = {n: {"Authorization": f"Bearer {t}"} for n, t in tokens.items()}
    for name, status in (("alice", 200), ("bob", 404), ("root", 200)):
        asked = {"params": {"task_id": hers}, "headers": headers[name]}
        found = (await http.get(EVENTS, **asked)).json()
        assert bool(found) is (status == 200)
        async with http.stream("GET", STREAM, **asked) as answer:
            assert answer.status_code == status
    protocols = ["cloudevents.json", f"bearer.{tokens['bob']}"]
    async with (
        source(http, headers["alice"]) as alice,
        source(http, headers["bob"]) as bob,
        source(http, headers["root"]) as root,
        websocket(http, subprotocols=protocols) as ws,
    ):
        assert ws.subprotocol == "cloudevents.json"
        hers = await add(commits, owner="alice")
        his = await add(commits, owner="bob")
        assert (await alice.next())["subject"] == hers
        assert (await bob.next())["subject"] == his
        assert (await received(ws))["subject"] == his
        assert [(await root.next())["subject"] for _ in "ab"] == [hers, his]
    for more, status in (
        ({}, 401),
        ({"subprotocols": ["bearer.x"]}, 401),
        ({"additional_headers": {"Authorization": "Bearer x"}}, 401),
    ):
        with pytest.raises(InvalidStatus) as refused:
            await websocket(http, **more)
        assert refused.value.response.status_code == status
        assert "WWW-Authenticate" in refused.value.response.headers


@pytest.mark.promise(
    "docs/SECURITY.md",
    "So the API answers 403 `cross_site` to an `Origin` other than its own host "
    "and those in `CORS_ORIGINS`.",
)
async def test_pages_of_other_sites_open_no_websocket(
    serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    http = await serve()
    own = str(http.base_url).rstrip("/")
    for origin in (own, "https://app.example", "HTTPS://App.example:443"):
        async with websocket(http, origin=origin):
            pass
    for origin in ("https://evil.example", "null", "http://127.0.0.1"):
        with pytest.raises(InvalidStatus) as refused:
            await websocket(http, origin=origin)
        assert refused.value.response.status_code == 403
        assert json.loads(refused.value.response.body or b"")["code"] == "cross_site"
    # Strangers do not write errors into our log.
    assert not [line for line in caplog.records if line.levelname == "ERROR"]


@pytest.mark.budget("event_streams.MAX_MESSAGE_BYTES")
async def test_what_clients_say_is_ignored_within_a_limit(
    serve: Serve, commits: GroupCommit
) -> None:
    http = await serve()
    most = event_streams.MAX_MESSAGE_BYTES
    async with websocket(http) as ws:
        await ws.send("x" * most)
        await ws.send(b"x" * most)
        async with asyncio.timeout(10):
            await (await ws.ping())
        task_id = await add(commits)
        assert (await received(ws))["subject"] == task_id
        await ws.send("x" * (most + 1))
        assert (await close_of(ws))[0] == 1009


@pytest.mark.budget("EVENTS_MAX_STREAMS", "EVENTS_MAX_STREAMS_OF_CALLER")
async def test_too_many_streams_are_refused(serve: Serve) -> None:
    for limits, status in (
        (EventLogSettings(max_streams=1), 503),
        (EventLogSettings(max_streams_of_caller=1), 429),
    ):
        http = await serve(events=limits)
        async with source(http):
            answer = await http.get(STREAM)
            assert answer.status_code == status
            assert int(answer.headers["Retry-After"]) > 0
            with pytest.raises(InvalidStatus) as refused:
                await websocket(http)
            assert refused.value.response.status_code == status
            assert int(refused.value.response.headers["Retry-After"]) > 0
        async with asyncio.timeout(10):
            while http.app.state.resources.events.feed.open_streams:
                await asyncio.sleep(0.01)
        async with websocket(http):
            pass


async def test_clients_are_told_why_a_stream_ends(
    serve: Serve, commits: GroupCommit, monkeypatch: pytest.MonkeyPatch
) -> None:
    http = await serve()
    async with source(http) as sse, websocket(http) as ws:
        last = sse.last_id
        http.app.state.resources.events.feed.stop()
        assert (await sse.next())["code"] == "shutting_down"
        assert sse.retry and await sse.is_over() and sse.last_id == last
        assert await close_of(ws) == (1012, "shutting_down")
        assert (await http.get(STREAM)).status_code == 503


@pytest.mark.budget("event_streams.PATIENCE")
async def test_clients_that_do_not_read_are_dropped(
    serve: Serve, commits: GroupCommit, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_stream, "MAX_WAITING", 1)
    monkeypatch.setattr(event_streams, "PATIENCE", 0.5)
    http = await serve()
    feed = http.app.state.resources.events.feed
    async with source(http), websocket(http, max_queue=1):
        assert feed.open_streams == 2
        async with asyncio.timeout(20):
            while feed.open_streams:
                await add(commits, payload="x" * 500_000)
        assert feed.held_bytes == 0
