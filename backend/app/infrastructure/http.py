"""Requests to other servers, through one client per process."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import httpx2

from app.core.exceptions import DeadlineExceeded, RemoteUnavailable, TooManyInFlight
from app.infrastructure.instrumentation import instrument_http_client

# Seconds until an answer is complete, unless a request sets `timeout=`; until a
# connection is open; until a connection of the pool is free.
TIMEOUT = httpx2.Timeout(10, connect=3, pool=1)
LIMITS = httpx2.Limits(max_connections=100, max_keepalive_connections=20)


class HttpClient(httpx2.AsyncClient):
    """httpx2's client that raises the errors of ``app.core.exceptions``.

    Any request may raise DeadlineExceeded (the answer was not complete in time),
    RemoteUnavailable (no connection, a broken one, or an answer of 429 or 5xx) or
    TooManyInFlight (this process has too many requests in flight).

    It returns any other answer, such as a 404, for the caller to interpret.
    """

    async def send(self, request: httpx2.Request, **options: Any) -> httpx2.Response:
        """Send one request; all methods and ``stream`` end here."""
        host = request.url.host
        seconds = request.extensions.get("timeout", {}).get("read")
        with translate_http_errors(host):
            # httpx2's own timeout is per read: a slow server could stretch it for ever.
            async with asyncio.timeout(seconds):
                response = await super().send(request, **options)
        if response.status_code == 429 or response.status_code >= 500:
            await response.aclose()
            raise RemoteUnavailable(f"{host} answered {response.status_code}.")
        return response

    @asynccontextmanager
    async def stream(
        self, method: str, url: httpx2.URL | str, **options: Any
    ) -> AsyncIterator[httpx2.Response]:
        """An answer read piece by piece; the timeout applies to each piece."""
        with translate_http_errors(httpx2.URL(url).host):
            async with super().stream(method, url, **options) as response:
                yield response


@contextmanager
def translate_http_errors(host: str) -> Iterator[None]:
    """Translate httpx2's errors about the other server; bugs of ours pass unchanged."""
    try:
        yield
    except (httpx2.UnsupportedProtocol, httpx2.LocalProtocolError):
        raise
    except httpx2.PoolTimeout as error:
        raise TooManyInFlight(
            "Too many requests to other servers are in flight."
        ) from error
    except (httpx2.TimeoutException, TimeoutError) as error:
        raise DeadlineExceeded(f"{host} did not answer in time.") from error
    except httpx2.RequestError as error:
        raise RemoteUnavailable(f"{host} cannot be reached.") from error


class HttpConnections:
    """Creates the client on first use: a process that calls no other server pays
    nothing."""

    def __init__(self) -> None:
        self._client: HttpClient | None = None
        self._lock = asyncio.Lock()

    async def get(self) -> HttpClient:
        """The client of this process."""
        async with self._lock:
            if self._client is None:
                # In a thread: loading the certificates takes a tenth of a second.
                self._client = await asyncio.to_thread(
                    HttpClient, timeout=TIMEOUT, limits=LIMITS
                )
                instrument_http_client(self._client)
        return self._client

    async def close(self) -> None:
        """Close all connections."""
        if self._client is not None:
            await self._client.aclose()
