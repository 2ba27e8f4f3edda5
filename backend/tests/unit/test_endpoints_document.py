"""The examples of `docs/ENDPOINTS.md` work as the page says."""

import asyncio
import hashlib
import json
import re
from collections.abc import AsyncIterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from fastapi import FastAPI
from httpx2 import ASGITransport, AsyncClient

from app.api import v1
from app.application import create_app
from app.core.config import Settings
from app.infrastructure.http import HttpConnections
from tests.rules import find_faults

DOCUMENT = Path(__file__).parents[3] / "docs" / "ENDPOINTS.md"
EXAMPLES = re.findall(r"```python\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)

RATE = json.dumps({"currency": "USD", "rate": 1.5}).encode()
ANSWERS = {"USD": (200, RATE), "XXX": (404, b""), "BAD": (500, b"")}


def load(number: int) -> Any:
    """Build the module that a reader would write from an example."""
    module = ModuleType(f"example_{number}")
    exec(EXAMPLES[number], vars(module))  # nosec: a page of this repository
    return module


@pytest.fixture
async def source() -> AsyncIterator[str]:
    """The other server."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        line = await reader.readuntil(b"\r\n\r\n")
        status, body = ANSWERS[line.split()[1].decode().removeprefix("/")]
        head = b"HTTP/1.1 %d Any\r\nContent-Length: %d\r\n\r\n" % (status, len(body))
        writer.write(head + body)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    yield "http://127.0.0.1:%d" % server.sockets[0].getsockname()[1]
    server.close()


@pytest.fixture
async def app(source: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[FastAPI]:
    # A team may have kept these examples; its own endpoints would then answer first.
    monkeypatch.setattr(v1, "routers", ())
    uploads, rates = load(0), load(1)
    rates.SOURCE = source
    app = create_app(Settings())
    for module in (uploads, rates):
        app.include_router(module.router, prefix=v1.PREFIX)
    http = HttpConnections()
    app.state.resources = SimpleNamespace(keys=None, http=http)
    yield app
    await http.close()


@pytest.fixture
async def client(app: FastAPI) -> AsyncIterator[AsyncClient]:
    transport = ASGITransport(app, raise_app_exceptions=False)
    url = f"http://test{v1.PREFIX}"
    async with AsyncClient(transport=transport, base_url=url) as client:
        yield client


def test_the_examples_keep_the_rules(app: FastAPI) -> None:
    app.openapi_tags = [*(app.openapi_tags or []), {"name": "files"}, {"name": "rates"}]
    assert not list(find_faults(app.openapi()))


@pytest.mark.parametrize("size", [10, 5 * 1024 * 1024])
async def test_an_upload(client: AsyncClient, size: int) -> None:
    content = b"x" * size
    answer = await client.post("/files/checksum", files={"file": content})
    assert answer.json() == {"sha256": hashlib.sha256(content).hexdigest()}


async def test_an_upload_that_is_too_large(client: AsyncClient) -> None:
    content = b"x" * 20 * 1024 * 1024
    answer = await client.post("/files/checksum", files={"file": content})
    assert (answer.status_code, answer.json()["code"]) == (413, "content_too_large")


@pytest.mark.parametrize(
    ("currency", "status"), [("USD", 200), ("XXX", 404), ("BAD", 503), ("u", 422)]
)
async def test_a_request_to_another_server(
    client: AsyncClient, currency: str, status: int
) -> None:
    answer = await client.get(f"/rates/{currency}")
    assert answer.status_code == status, answer.text
    if status == 200:
        assert answer.json() == json.loads(RATE)
