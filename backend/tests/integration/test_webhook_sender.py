"""Requests to receivers that nobody trusts, over real sockets."""

import asyncio
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import httpx2
import pytest

from app.core.webhook_settings import WebhookSettings
from app.infrastructure import webhook_sender
from app.infrastructure.webhook_sender import Attempt, Resolve, WebhookSender
from local import certificates
from local.ports import free_port
from local.tls import Tls
from tests.integration.hooks import Hook

NAME = "receiver.example"
SETTINGS = WebhookSettings(allowed_networks="127.0.0.1", timeout_seconds=2)
HEADERS = {"webhook-id": "1"}


@pytest.fixture
def hook() -> Iterator[Hook]:
    with Hook().running() as hook:
        yield hook


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Tls:
    """With a certificate for NAME, and for this machine."""
    folder: Path = tmp_path_factory.mktemp("tls")
    certificates.ensure(folder, lambda _: None, names=[NAME])
    return Tls(folder)


class Names:
    """A resolver that gives one answer after another, and counts."""

    def __init__(self, *answers: Sequence[str]) -> None:
        self.asked: list[str] = []
        self._answers = iter(answers)

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        self.asked.append(host)
        return next(self._answers)


async def send(
    url: str,
    *,
    settings: WebhookSettings = SETTINGS,
    resolve: Resolve = webhook_sender.resolve_host,
    tls: ssl.SSLContext | None = None,
) -> Attempt:
    async with WebhookSender(
        settings, allows_http=True, resolve=resolve, tls=tls
    ) as sender:
        return await sender.post(url, '{"a":1}', HEADERS)


async def test_a_request_arrives_as_it_is(hook: Hook) -> None:
    assert await send(hook.url("/a%20b?c=d")) == Attempt(204)
    (request,) = hook.requests
    assert (request.path, request.body) == ("/a%20b?c=d", b'{"a":1}')
    assert request.headers["host"] == f"127.0.0.1:{hook.port}"
    assert request.headers["accept-encoding"] == "identity"  # nobody decodes it
    assert "traceparent" not in request.headers


async def test_it_leaves_no_connection_open(hook: Hook) -> None:
    async with WebhookSender(SETTINGS, allows_http=True) as sender:
        await sender.post(hook.url(), "{}", HEADERS)
    with pytest.raises(RuntimeError, match="closed"):
        await sender.post(hook.url(), "{}", HEADERS)


@pytest.mark.promise("docs/WEBHOOKS.md", "The certificate must be valid for the name.")
async def test_tls_verifies_the_name_and_not_the_address(authority: Tls) -> None:
    with Hook().running(authority.server("nginx")) as hook:
        url = f"https://{NAME}:{hook.port}/"
        names = Names(["127.0.0.1"])
        assert await send(url, resolve=names, tls=authority.client()) == Attempt(204)
        assert hook.requests[0].headers["host"] == f"{NAME}:{hook.port}"
        # The certificate is good for 127.0.0.1, but not for this name.
        url = url.replace(NAME, "other.example")
        found = await send(url, resolve=Names(["127.0.0.1"]), tls=authority.client())
        assert found.status is None
        assert "certificate is not valid" in str(found.error), found
        found = await send(hook.url().replace("http:", "https:"))
        assert "certificate is not valid" in str(found.error), found
        assert len(hook.requests) == 1


@pytest.mark.promise(
    "docs/WEBHOOKS.md", "A name that changes in between has no effect."
)
async def test_a_name_that_changes_meanwhile_changes_nothing(hook: Hook) -> None:
    """What was checked is where it connects: the name is resolved once."""
    names = Names(["127.0.0.1"], ["127.0.0.66"])
    assert await send(hook.url().replace("127.0.0.1", NAME), resolve=names) == Attempt(
        204
    )
    assert names.asked == [NAME] and len(hook.requests) == 1


@pytest.mark.promise("docs/WEBHOOKS.md", "All addresses of the host must be public.")
@pytest.mark.parametrize(
    "addresses",
    [["127.0.0.2"], ["127.0.0.1", "10.0.0.1"], ["::1"], ["fe80::1%lo"]],
)
async def test_a_name_with_one_private_address_is_refused(
    hook: Hook, addresses: list[str]
) -> None:
    found = await send(hook.url().replace("127.0.0.1", NAME), resolve=Names(addresses))
    assert "not public" in str(found.error) and not hook.requests
    assert addresses[0] not in str(found.error), "it tells about our network"


async def test_names_of_this_machine_are_refused(hook: Hook) -> None:
    """By the real resolver."""
    url = f"http://localhost:{hook.port}/"
    found = await send(url, settings=WebhookSettings())
    assert "not public" in str(found.error) and not hook.requests


async def test_a_url_is_checked_again(hook: Hook) -> None:
    """Settings may have become stricter."""
    found = await send(hook.url(), settings=WebhookSettings())
    assert "loopback" in str(found.error) and not hook.requests


async def test_another_address_serves_when_one_refuses(hook: Hook) -> None:
    settings = WebhookSettings(allowed_networks="127.0.0.0/8", timeout_seconds=2)
    names = Names(["127.0.0.9", "127.0.0.1"])
    url = hook.url().replace("127.0.0.1", NAME)
    assert await send(url, settings=settings, resolve=names) == Attempt(204)


async def test_few_addresses_of_a_name_are_tried(hook: Hook) -> None:
    """Whoever owns the name could have us knock on many doors."""
    settings = WebhookSettings(allowed_networks="127.0.0.0/8", timeout_seconds=2)
    closed = [f"127.0.0.{9 + n}" for n in range(webhook_sender.MAX_ADDRESSES)]
    url = hook.url().replace("127.0.0.1", NAME)
    names = Names([*closed[1:], "127.0.0.1"], [*closed, "127.0.0.1"])
    assert await send(url, settings=settings, resolve=names) == Attempt(204)
    found = await send(url, settings=settings, resolve=names)
    assert "refuses connections" in str(found.error) and len(hook.requests) == 1


async def test_cookies_are_not_sent_back(hook: Hook) -> None:
    hook.answer = lambda _: (204, {"Set-Cookie": "a=b"})
    async with WebhookSender(SETTINGS, allows_http=True) as sender:
        for _ in range(2):
            await sender.post(hook.url(), "{}", HEADERS)
    assert len(hook.requests) == 2
    assert not [each for each in hook.requests if "cookie" in each.headers]


@pytest.mark.promise(
    "docs/WEBHOOKS.md", "Redirects are not followed, and proxies are not used."
)
async def test_a_redirect_is_a_failure(hook: Hook) -> None:
    with Hook().running() as inside:
        hook.answer = lambda _: (307, {"Location": inside.url()})
        found = await send(hook.url())
        assert found.status == 307 and "not followed" in str(found.error)
        assert not inside.requests


@pytest.mark.promise(
    "docs/WEBHOOKS.md", "Redirects are not followed, and proxies are not used."
)
async def test_no_proxy_is_asked(hook: Hook, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    for name in ("HTTP_PROXY", "ALL_PROXY", "http_proxy"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{free_port()}")
    assert await send(hook.url()) == Attempt(204)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("7", 7.0),
        ("Thu, 01 Jan 1970 00:00:00 GMT", -time.time()),
        ("soon", None),
        ("Thu, 01 Jan 99999999999 00:00:00 GMT", None),
        ("9" * 400, 999999999.0),
    ],
)
async def test_it_reads_when_to_try_again(
    hook: Hook, given: str, expected: float | None
) -> None:
    hook.answer = lambda _: (503, {"Retry-After": given})
    found = await send(hook.url())
    assert found.status == 503 and found.error == "The receiver answered 503."
    assert found.retry_after == pytest.approx(expected, abs=3600)


async def test_nobody_there() -> None:
    found = await send(f"http://127.0.0.1:{free_port()}/")
    assert found.status is None and "refuses connections" in str(found.error)
    for name in ("no-such-name", "a" * 64):  # no name has a part so long
        found = await send(f"https://{name}.invalid/")
        assert "does not resolve" in str(found.error)


async def test_a_host_that_is_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    async def wait_in_vain(*_: object, **__: object) -> None:
        raise httpx2.ConnectTimeout("silent")

    monkeypatch.setattr(httpx2.AsyncClient, "send", wait_in_vain)
    found = await send("http://127.0.0.1/")
    assert found == Attempt(error="No connection was open within 5 s.")


Side = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def serving(side: Side) -> AsyncIterator[str]:
    async with await asyncio.start_server(side, "127.0.0.1", 0) as server:
        yield "http://127.0.0.1:%d/" % server.sockets[0].getsockname()[1]


def dripping(start: bytes) -> Side:
    """Sends a byte now and then, and never finishes."""

    async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(start)
        try:
            while True:
                writer.write(b"x")
                await writer.drain()
                await asyncio.sleep(0.05)
        except ConnectionError:
            writer.close()

    return drip


@pytest.mark.budget("WEBHOOKS_TIMEOUT_SECONDS")
async def test_a_receiver_that_drips_headers_is_bounded() -> None:
    settings = WebhookSettings(allowed_networks="127.0.0.1", timeout_seconds=0.5)
    async with serving(dripping(b"HTTP/1.1 200 OK\r\nX-A: ")) as url:
        began = time.monotonic()
        found = await send(url, settings=settings)
    assert found == Attempt(error="There was no answer within 0.5 s.")
    assert 0.4 < time.monotonic() - began < 5


@pytest.mark.parametrize("length", [b"Content-Length: 1000000", b"X: chunked"])
async def test_the_rest_of_an_answer_does_not_matter(
    length: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhook_sender, "ANSWER_SECONDS", 0.2)
    head = b"HTTP/1.1 200 OK\r\n" + length + b"\r\n\r\n"
    async with serving(dripping(head)) as url:
        began = time.monotonic()
        assert await send(url) == Attempt(200)
    assert time.monotonic() - began < 5


@pytest.mark.budget("webhook_sender.MAX_ANSWER_BYTES")
@pytest.mark.parametrize("beyond", [False, True])
async def test_little_is_read_of_an_answer(beyond: bool) -> None:
    size = webhook_sender.MAX_ANSWER_BYTES + beyond
    closed = asyncio.Event()

    async def answer(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        for _ in range(2):
            await reader.readuntil(b"\r\n\r\n")
            await reader.readexactly(len('{"a":1}'))
            head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size
            writer.write(head + b"x" * size)
            try:
                await asyncio.wait_for(reader.readuntil(b"P"), 5)  # of the next POST
            except asyncio.IncompleteReadError:
                break
        closed.set()
        writer.close()

    async with serving(answer) as url:
        async with WebhookSender(SETTINGS, allows_http=True) as sender:
            assert await sender.post(url, '{"a":1}', HEADERS) == Attempt(200)
            if beyond:
                await asyncio.wait_for(closed.wait(), 5)  # it hung up
            else:
                assert await sender.post(url, '{"a":1}', HEADERS) == Attempt(200)


async def test_nonsense_is_a_failure() -> None:
    async def nonsense(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        writer.write(b"220 mail.example ESMTP\r\n")
        writer.close()

    async with serving(nonsense) as url:
        found = await send(url)
    assert found.error == "The connection broke before there was an answer."
