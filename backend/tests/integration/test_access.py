"""Who may call which endpoint, and who sees whose rows: every endpoint that there is.

Endpoints of a team's own services and resources are tested here without a further line.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Iterator
from functools import cached_property
from typing import Any
from uuid import uuid4

import pytest
from fastapi import FastAPI
from fastapi.routing import iter_route_contexts
from httpx2 import ASGITransport, AsyncClient, Response
from opentelemetry.instrumentation.fastapi import FastAPIInstrumentor
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind
from pydantic import SecretStr

from app.api.middleware.authentication import OPEN
from app.api.security import PROCESS, READ_EVENTS, READ_RECORDS, SCOPES
from app.core.auth_settings import AuthSettings
from app.core.config import Settings
from app.core.database_settings import DatabaseSettings
from app.core.principal import ADMIN
from app.core.redis_settings import CelerySettings, IdempotencySettings
from app.core.services import SERVICES, Service, ServiceRegistry
from app.infrastructure.postgres.group_commit import GroupCommit
from app.models.schemas import TaskStatus
from app.models.webhooks import Webhook
from app.repositories.data_repository import DataRepository
from app.resources import open_resources
from chassis.settings import RabbitMQSettings, RpcSettings
from local.servers.redis import Redis
from tests.echo import PROCESS as PROCESS_ECHO
from tests.echo import create_echo_app
from tests.integration.provider import AUDIENCE, FakeProvider, running_provider
from tests.rules import JSON, Operation, operations

RECORDS = "/api/v1/database/records"
LOGS = "/api/v1/database/logs"


class AllServices(Settings):
    """The registered services, and one that is always there."""

    @cached_property
    def services(self) -> ServiceRegistry:
        """All of them."""
        return ServiceRegistry((*SERVICES, Service("echo", "echo_queue")))


@pytest.fixture(scope="session")
def provider() -> Iterator[FakeProvider]:
    with running_provider() as found:
        yield found


@pytest.fixture
def guarded(
    provider: FakeProvider,
    rabbitmq_settings: RabbitMQSettings,
    database_settings: DatabaseSettings,
    redis_server: Redis,
) -> Settings:
    url = SecretStr(redis_server.url(0))
    return AllServices(
        auth=AuthSettings(issuer=provider.issuer, audience=AUDIENCE),
        rabbitmq=rabbitmq_settings,
        rpc=RpcSettings(timeout_seconds=0.5),
        database=database_settings,
        celery=CelerySettings(broker_url=url, result_backend=url),
        idempotency=IdempotencySettings(redis_url=url),
    )


@pytest.fixture
async def app(guarded: Settings) -> AsyncIterator[FastAPI]:
    """No service listens: what is allowed may end in 503."""
    app = create_echo_app(guarded)
    async with open_resources(guarded, app.state.budget) as resources:
        app.state.resources = resources
        yield app


class Client:
    """Requests with the tokens of different callers."""

    def __init__(self, http: AsyncClient, provider: FakeProvider) -> None:
        self._http = http
        self._provider = provider

    async def ask(
        self, method: str, path: str, scope: str | None = None, **more: Any
    ) -> Response:
        """Without a scope, without a token. ``sub`` names the caller."""
        headers = more.pop("headers", {})
        if scope is not None:
            token = self._provider.token(scope=scope, sub=more.pop("sub", "alice"))
            headers = {**headers, "Authorization": f"Bearer {token}"}
        return await self._http.request(method, path, headers=headers, **more)


@pytest.fixture
async def client(app: FastAPI, provider: FakeProvider) -> AsyncIterator[Client]:
    transport = ASGITransport(app, raise_app_exceptions=False)
    async with AsyncClient(transport=transport, base_url="http://test") as http:
        yield Client(http, provider)


def guarded_operations(app: FastAPI) -> list[tuple[Operation, str]]:
    """Each operation that needs a token, and its scopes, with spaces between."""
    return [
        (operation, " ".join(scopes))
        for operation in operations(app.openapi())
        for each in operation.content.get("security", [])
        for scopes in each.values()
        if scopes
    ]


def method_of(operation: Operation) -> str:
    """HEAD for a stream, which has no end."""
    content = operation.content["responses"].get("200", {}).get("content", {})
    return "head" if "text/event-stream" in content else operation.method


def filled(operation: Operation) -> str:
    """The path with its examples."""
    path = operation.path
    for each in operation.content.get("parameters", []):
        if each["in"] == "path":
            value = each["schema"].get("examples", [each.get("example")])[0]
            path = path.replace(f"{{{each['name']}}}", str(value))
    return path


def body(operation: Operation) -> dict[str, Any]:
    """The example of the body, as arguments of a request."""
    request = operation.resolve(operation.content.get("requestBody", {}))
    content = request.get("content", {}).get(JSON)
    if content is None:
        return {}
    model = operation.resolve(content["schema"])
    return {"json": content.get("example", model.get("examples", [{}])[0])}


@pytest.mark.promise(
    "docs/SECURITY.md", "It tests your endpoints without a line of your own."
)
async def test_every_endpoint_needs_a_token_and_its_scope(
    app: FastAPI, client: Client
) -> None:
    for operation, scope in guarded_operations(app):
        place = f"{operation.method} {operation.path}"
        method, path, sent = method_of(operation), filled(operation), body(operation)
        answer = await client.ask(method, path, **sent)
        assert answer.status_code == 401, place
        assert answer.headers["WWW-Authenticate"] == "Bearer", place
        for needed in scope.split():
            wrong = " ".join(set(SCOPES) - {needed, ADMIN})
            for given in ("", wrong) if needed == scope else (wrong,):
                answer = await client.ask(method, path, given, **sent)
                assert answer.status_code == 403, f"{place} lets in {given!r}"
                challenge = answer.headers["WWW-Authenticate"]
                assert f'scope="{needed}"' in challenge, place
        for given in (scope, ADMIN):
            answer = await client.ask(method, path, given, **sent)
            assert answer.status_code not in (401, 403, 500), f"{place}: {answer.text}"


@pytest.mark.promise(
    "docs/SECURITY.md",
    "Every other path needs a valid token, also a path that does not exist.",
)
async def test_paths_outside_the_documentation_need_a_token(
    app: FastAPI, client: Client
) -> None:
    paths = {str(r.path) for r in iter_route_contexts(app.routes) if r.path}
    for path in sorted({*paths, "/nothing", "/api/v1/nothing", "/health/nothing"}):
        is_open = path in OPEN or path.startswith("/api/v1/docs-assets/")
        answer = await client.ask("GET", re.sub(r"{\w+}", "1", path))
        assert (answer.status_code == 401) != is_open, path


@pytest.mark.promise("docs/SECURITY.md", "a caller finds only their own rows")
async def test_only_owner_and_admin_find_a_row(
    app: FastAPI, client: Client, commits: GroupCommit
) -> None:
    """For paths with a task id, and for what a POST of the path above creates."""
    found = {(o.method, o.path): o for o in operations(app.openapi())}
    number = 0
    for operation, scope in guarded_operations(app):
        above, _, name = operation.path.partition("/{")
        name, _, below = name.partition("}")
        creating = found.get(("post", above))
        if not name:
            continue
        if name == "task_id":
            queues = app.state.settings.services
            service = next((s for s in queues if f"/{_kebab(s.name)}/" in above), None)
            row = await stored(commits, "alice", service.queue if service else None)
        elif creating and "201" in places(creating):
            new = await client.ask("post", above, ADMIN, **body(creating))
            assert new.status_code == 201, new.text
            row = new.headers["Location"].rpartition("/")[2]
        else:
            continue
        number += 1
        place = f"{operation.method} {operation.path}"
        path, sent = f"{above}/{row}{below}", body(operation)
        for sub in ("bob", "ALICE", "alice "):
            answer = await client.ask(operation.method, path, scope, sub=sub, **sent)
            assert answer.status_code == 404, f"{place} shows {sub} a row of alice"
        for allowed in (scope,) if operation.method == "delete" else (scope, ADMIN):
            sub = "root" if allowed == ADMIN else "alice"
            answer = await client.ask(operation.method, path, allowed, sub=sub, **sent)
            assert answer.status_code != 404, f"{place} hides a row from {sub}"
    assert number


async def test_others_do_not_wait_for_work(
    app: FastAPI, client: Client, commits: GroupCommit
) -> None:
    row = await stored(commits, "alice", "echo_queue", TaskStatus.PROCESSING)
    path = f"{PROCESS_ECHO}-async/{row}"
    hers = await client.ask("get", path, READ_RECORDS, params={"wait": 0.1})
    assert hers.json()["task_status"] == "Processing"
    async with asyncio.timeout(10):
        other = await client.ask(
            "get", path, READ_RECORDS, sub="bob", params={"wait": 30}
        )
    assert other.status_code == 404


@pytest.mark.promise("docs/SECURITY.md", "a caller finds only their own rows")
async def test_lists_show_the_callers_own_rows(
    app: FastAPI, client: Client, commits: GroupCommit
) -> None:
    found = {(o.method, o.path) for o in operations(app.openapi())}
    for operation, scope in guarded_operations(app):
        is_list = ("post", operation.path) in found or operation.path == RECORDS
        if operation.method != "get" or not is_list:
            continue
        await stored(commits, "alice")
        answer = await client.ask("get", operation.path, scope, sub=str(uuid4()))
        assert answer.json() == [], f"{operation.path} shows rows of others"


async def test_a_webhook_gets_what_its_owner_sees(app: FastAPI, client: Client) -> None:
    content = {"url": "https://example.com/", "types": ["record.*"]}
    for scope, expected in (
        (f"{READ_EVENTS} webhooks:manage", "alice"),
        (ADMIN, None),
    ):
        new = await client.ask("post", "/api/v1/webhooks", scope, json=content)
        async with app.state.resources.database.session() as session:
            webhook = await session.get(Webhook, new.json()["id"])
        assert (webhook.owner, webhook.events_of) == ("alice", expected)


@pytest.mark.promise("docs/SECURITY.md", "Only `admin` sees them.")
async def test_rows_from_before_authentication_are_for_admin_only(
    client: Client, commits: GroupCommit
) -> None:
    path = f"{RECORDS}/{await stored(commits, None)}"
    for sub in ("alice", "None", "-"):
        assert (await client.ask("get", path, READ_RECORDS, sub=sub)).status_code == 404
    assert (await client.ask("get", path, ADMIN)).json()["owner"] is None


async def test_log_rows_are_for_their_owner(client: Client, app: FastAPI) -> None:
    process = next(o for o, s in guarded_operations(app) if s == PROCESS)
    sub, mark = str(uuid4()), f"mark-{uuid4()}"
    sent = body(process) | {"headers": {"X-Request-ID": mark}}
    broker = app.state.resources.producer.client
    assert await asyncio.to_thread(broker.wait_connected, 10)
    answer = await client.ask("post", filled(process), PROCESS, sub=sub, **sent)
    assert answer.status_code == 503, answer.text
    query = {"correlation_id": mark}
    for reader, scope, sees in (
        (sub, READ_RECORDS, True),
        ("bob", READ_RECORDS, False),
    ):
        logs = await client.ask("get", LOGS, scope, sub=reader, params=query)
        assert bool(logs.json()) is sees
    assert (await client.ask("get", LOGS, ADMIN, params=query)).json()


@pytest.mark.promise(
    "docs/SECURITY.md", "two callers who send the same key get their own results"
)
async def test_callers_with_one_idempotency_key_never_meet(
    app: FastAPI, client: Client
) -> None:
    """Whatever a POST of theirs makes, the other makes their own."""
    key = {"Idempotency-Key": str(uuid4())}
    number = 0
    for operation, scope in guarded_operations(app):
        if not places(operation) & {"201", "202"}:
            continue
        number += 1
        made = []
        for sub in ("alice", "bob", "alice"):
            answer = await client.ask(
                "post", operation.path, scope, sub=sub, headers=key, **body(operation)
            )
            assert answer.is_success, answer.text
            made.append(answer.headers["Location"])
            is_again = answer.headers.get("Idempotency-Replayed") == "true"
            assert is_again is (len(made) == 3)
        assert made[0] == made[2] != made[1], operation.path
        key = {"Idempotency-Key": str(uuid4())}
    assert number


async def test_the_span_names_the_caller_without_the_token(
    app: FastAPI, client: Client, provider: FakeProvider
) -> None:
    exporter, tracers = InMemorySpanExporter(), TracerProvider()
    tracers.add_span_processor(SimpleSpanProcessor(exporter))
    FastAPIInstrumentor.instrument_app(app, tracer_provider=tracers)
    await client.ask("get", LOGS, READ_RECORDS)
    spans = exporter.get_finished_spans()
    (named,) = [s.attributes or {} for s in spans if s.kind is SpanKind.SERVER]
    assert named["enduser.id"] == "alice"
    assert not [span for span in spans if "eyJ" in span.to_json()]


async def stored(
    commits: GroupCommit,
    owner: str | None,
    queue: str | None = None,
    status: TaskStatus = TaskStatus.SUCCESS,
) -> str:
    """A new record."""
    task_id = str(uuid4())
    row = DataRepository.row(
        task_id=task_id, task_status=status, owner=owner, queue_name=queue
    )
    await commits.add([row])
    return task_id


def places(operation: Operation) -> set[str]:
    """The status codes with which it says where its result is."""
    answers = operation.content["responses"].items()
    return {code for code, a in answers if "Location" in a.get("headers", {})}


def _kebab(name: str) -> str:
    return name.replace("_", "-")
