"""Requests to receivers of webhooks: servers that clients chose, and nobody trusts.

Each attempt resolves the name once, checks every address, and connects to one of these:
a name that changes meanwhile changes nothing. TLS still verifies the name. Time and
bytes are bounded, redirects are not followed, and no proxy is asked.
"""

import asyncio
import socket
import ssl
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from functools import cache
from ipaddress import ip_address
from types import TracebackType
from typing import Self

import httpx2

from app.core.webhook_settings import WebhookSettings
from app.core.webhook_targets import (
    TargetRefused,
    check_url,
    literal_address,
    why_refused,
)

CONNECT_SECONDS = 5.0
#: Addresses of one name that an attempt tries, while they refuse the connection.
MAX_ADDRESSES = 3
#: What is read of an answer, to use its connection again. Nobody looks at it.
MAX_ANSWER_BYTES = 16 * 1024
ANSWER_SECONDS = 1.0

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]


@dataclass(frozen=True, slots=True)
class Attempt:
    """What came of one request: ``error`` is None after an answer of 2xx, and else says
    in a sentence what is wrong."""

    status: int | None = None
    error: str | None = None
    retry_after: float | None = None


class _Failed(Exception):
    """There was no answer."""


async def resolve_host(host: str, port: int) -> list[str]:
    """The addresses of a name, the best first."""
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(each[4][0]) for each in found))


@cache
def _trusted() -> ssl.SSLContext:
    """Made once: loading the certificates takes a tenth of a second."""
    return httpx2.create_ssl_context()


class WebhookSender:
    """For the deliveries of one webhook: receivers share no connection."""

    def __init__(
        self,
        settings: WebhookSettings,
        *,
        allows_http: bool,
        resolve: Resolve = resolve_host,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._settings = settings
        self._allows_http = allows_http
        self._resolve = resolve
        self._client = httpx2.AsyncClient(
            verify=tls or _trusted(),
            trust_env=False,
            timeout=httpx2.Timeout(settings.timeout_seconds, connect=CONNECT_SECONDS),
            limits=httpx2.Limits(max_connections=1),
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._client.aclose()

    async def post(self, url: str, body: str, headers: Mapping[str, str]) -> Attempt:
        """One attempt. It never takes longer than WEBHOOKS_TIMEOUT_SECONDS."""
        seconds = self._settings.timeout_seconds
        try:
            # httpx2's own timeout is per read: a slow server could stretch it for ever.
            async with asyncio.timeout(seconds):
                return await self._post(httpx2.URL(url), body, headers)
        except TimeoutError:
            return Attempt(error=f"There was no answer within {seconds:g} s.")
        except (_Failed, TargetRefused) as error:
            return Attempt(error=str(error))

    async def _post(
        self, url: httpx2.URL, body: str, headers: Mapping[str, str]
    ) -> Attempt:
        # Settings may have changed since somebody created the webhook.
        check_url(str(url), self._allows_http, self._settings.networks)
        refused: Exception | None = None
        for address in (await self._addresses(url))[:MAX_ADDRESSES]:
            try:
                with _in_plain_words():
                    return await self._post_to(address, url, body, headers)
            except (httpx2.ConnectError, httpx2.ConnectTimeout) as error:
                refused = error
        raise _Failed(_why_no_connection(refused))

    async def _addresses(self, url: httpx2.URL) -> Sequence[str]:
        """All of them may be used."""
        port = url.port or (443 if url.scheme == "https" else 80)
        try:
            found = await self._resolve(url.host, port)
        except (OSError, UnicodeError) as error:
            raise _Failed("The name of the host does not resolve.") from error
        for each in found:
            kind = why_refused(ip_address(each), self._settings.networks)
            if kind is not None:
                raise _Failed(
                    "The name of the host resolves to an address that is not public."
                )
        return found

    async def _post_to(
        self, address: str, url: httpx2.URL, body: str, headers: Mapping[str, str]
    ) -> Attempt:
        name = url.raw_host.decode("ascii")
        # The handshake asks for the name and verifies it, not the address.
        is_name = literal_address(name.rstrip(".")) is None
        # A receiver's cookies mean nothing here; the request would take them over.
        self._client.cookies.clear()
        request = self._client.build_request(
            "POST",
            url.copy_with(host=address),
            content=body.encode(),
            headers={
                **headers,
                "Host": url.netloc.decode("ascii"),
                "Accept": "*/*",
                "Accept-Encoding": "identity",
            },
            extensions={"sni_hostname": name} if is_name else {},
        )
        answer = await self._client.send(request, stream=True)
        try:
            await _discard(answer)
        finally:
            await answer.aclose()
        return _attempt(answer)


async def _discard(answer: httpx2.Response) -> None:
    """Read a short answer: its connection can then serve again. The status counts,
    whatever becomes of the rest."""
    size = 0
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            async for chunk in answer.aiter_raw():
                size += len(chunk)
                if size > MAX_ANSWER_BYTES:
                    return
    except (TimeoutError, httpx2.RequestError):
        return


def _attempt(answer: httpx2.Response) -> Attempt:
    status = answer.status_code
    if 200 <= status < 300:
        return Attempt(status)
    more = ": redirects are not followed" if 300 <= status < 400 else ""
    retry_after = _seconds(answer.headers.get("Retry-After"))
    return Attempt(status, f"The receiver answered {status}{more}.", retry_after)


def _seconds(retry_after: str | None) -> float | None:
    """Retry-After: seconds, or a date (RFC 9110)."""
    if retry_after is None:
        return None
    if retry_after.isascii() and retry_after.isdigit():
        return float(retry_after[:9])
    try:
        return parsedate_to_datetime(retry_after).timestamp() - time.time()
    except (ValueError, OverflowError):
        return None


@contextmanager
def _in_plain_words() -> Iterator[None]:
    try:
        yield
    except (httpx2.ConnectError, httpx2.ConnectTimeout):
        raise  # another address may serve
    except httpx2.TimeoutException as error:
        raise TimeoutError from error
    except httpx2.RequestError as error:
        raise _Failed("The connection broke before there was an answer.") from error


def _why_no_connection(error: BaseException | None) -> str:
    timed_out = isinstance(error, httpx2.ConnectTimeout)
    while error is not None:
        if isinstance(error, ssl.SSLCertVerificationError):
            return f"The certificate is not valid: {error.verify_message}."
        if isinstance(error, ssl.SSLError):
            return "The receiver does not speak TLS, or no version that we accept."
        error = error.__cause__ or error.__context__
    if timed_out:
        return f"No connection was open within {CONNECT_SECONDS:g} s."
    return "The receiver refuses connections, or nothing is there."
