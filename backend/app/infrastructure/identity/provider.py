"""The OpenID Connect provider: its endpoints, and the keys that sign its tokens.

Keys are fetched at start, every hour, and for a token with an unknown key, but only
once at a time and never twice within ``PAUSE``: no flood of tokens reaches the
provider. While it does not answer, its last keys stay in use, up to
AUTH_KEYS_MAX_AGE_HOURS.
"""

import asyncio
import json
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from jwt import PyJWK
from jwt.exceptions import PyJWTError

from app.core.auth_settings import AuthSettings, discovery_url, is_safe_url
from app.core.exceptions import ApplicationError, ProviderUnavailable
from app.infrastructure.http import HttpClient
from app.infrastructure.instrumentation import instrument_http_client
from chassis.outages import Outage

#: Seconds between two attempts to fetch keys.
PAUSE = 10.0
#: Keys older than this many seconds are fetched again: the provider may have withdrawn
#: one.
FRESH = 3600.0
#: Seconds that one answer of the provider may take.
TIMEOUT = 3.0
MAX_BYTES = 256 * 1024
MAX_KEYS = 50


@dataclass(frozen=True)
class Endpoints:
    """What the provider says about itself (OpenID Connect Discovery 1.0)."""

    keys: str
    authorization: str | None
    token: str | None


class Provider:
    """One per process. It contacts the provider in the background."""

    def __init__(self, settings: AuthSettings) -> None:
        self._issuer = settings.issuer or ""
        self._ca_file = settings.ca_file
        self._max_age = settings.keys_max_age_hours * 3600
        self._outage = Outage(f"the identity provider {self._issuer}")
        self._client: HttpClient | None = None
        self._keys: Mapping[str | None, Mapping[str, Any]] = {}
        self._fetched = self._asked = -float("inf")
        self._fetching: asyncio.Task[None] | None = None
        self.failure: str | None = "It has not answered yet."
        self.endpoints: Endpoints | None = None
        #: Changes with the keys.
        self.generation = 0

    def refresh(self) -> asyncio.Task[None] | None:
        """Fetch the keys, unless that is too early; returns the running attempt."""
        if self._fetching is None and time.monotonic() - self._asked >= PAUSE:
            self._asked = time.monotonic()
            self._fetching = asyncio.create_task(self._fetch())
        return self._fetching

    async def find_key(self, key_id: str | None, algorithm: str) -> PyJWK | None:
        """The public key with that id, for that algorithm; None if there is none.

        Without an id, the provider's only key.

        Raises:
            ProviderUnavailable: the keys are unknown, or too old.
        """
        age = time.monotonic() - self._fetched
        found = self._look_up(key_id) if age < self._max_age else None
        if found is None:
            if (attempt := self.refresh()) is not None:
                await asyncio.shield(attempt)
            age = time.monotonic() - self._fetched
            if age >= self._max_age or (self.failure and not self._look_up(key_id)):
                raise ProviderUnavailable("The identity provider does not answer.")
            found = self._look_up(key_id)
        elif age >= FRESH:
            self.refresh()
        return None if found is None else _public_key(found, algorithm)

    def _look_up(self, key_id: str | None) -> Mapping[str, Any] | None:
        if key_id is None and len(self._keys) == 1:
            return next(iter(self._keys.values()))
        return self._keys.get(key_id) if key_id is not None else None

    async def check(self) -> None:
        """For health: raises ProviderUnavailable if the last attempt failed."""
        if self.failure:
            self.refresh()
            raise ProviderUnavailable(self.failure)

    async def _fetch(self) -> None:
        try:
            if self.endpoints is None:
                self.endpoints = await self._discover()
            keys = _signing_keys(await self._read(self.endpoints.keys))
        except (ApplicationError, ValueError, OSError) as error:
            self.endpoints = None  # they may have moved
            self.failure = str(error)
            self._outage.lost(error.__cause__ or error)
        else:
            self.failure, self._fetched = None, time.monotonic()
            if keys != self._keys:
                self._keys, self.generation = keys, self.generation + 1
            self._outage.restored()
        finally:
            self._fetching = None

    async def _discover(self) -> Endpoints:
        found = await self._read(discovery_url(self._issuer))
        if found.get("issuer") != self._issuer:
            raise ValueError(
                f"AUTH_ISSUER is {self._issuer}, but the provider calls itself "
                f"{found.get('issuer')!r}: use that name."
            )
        named = (found.get(n) for n in ("authorization_endpoint", "token_endpoint"))
        authorization, token = (
            url if isinstance(url, str) and is_safe_url(url) else None for url in named
        )
        keys = found.get("jwks_uri")
        if not isinstance(keys, str) or not is_safe_url(keys):
            raise ValueError(f"The provider names no safe jwks_uri: {keys!r}.")
        return Endpoints(keys, authorization, token)

    async def _read(self, url: str) -> dict[str, Any]:
        if self._client is None:
            # In a thread: loading the certificates takes a tenth of a second.
            context = await asyncio.to_thread(
                ssl.create_default_context, cafile=self._ca_file
            )
            self._client = HttpClient(timeout=TIMEOUT, verify=context)
            instrument_http_client(self._client)
        text = bytearray()
        async with (
            asyncio.timeout(TIMEOUT),
            self._client.stream("GET", url) as response,
        ):
            if response.status_code != 200:
                raise ValueError(f"{url} answered {response.status_code}.")
            async for piece in response.aiter_bytes():
                text += piece
                if len(text) > MAX_BYTES:
                    raise ValueError(f"{url} sends more than {MAX_BYTES} bytes.")
        try:
            found = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise ValueError(f"{url} sends no JSON.") from error
        if not isinstance(found, dict):
            raise ValueError(f"{url} sends no JSON object.")
        return found

    async def close(self) -> None:
        """End an attempt under way, and close the connections."""
        if self._fetching is not None:
            self._fetching.cancel()
            await asyncio.gather(self._fetching, return_exceptions=True)
        if self._client is not None:
            await self._client.aclose()


def _signing_keys(found: dict[str, Any]) -> dict[str | None, dict[str, Any]]:
    """The keys by their ids. Raises ValueError if there are none."""
    listed = found.get("keys")
    keys: dict[str | None, dict[str, Any]] = {}
    for each in listed[:MAX_KEYS] if isinstance(listed, list) else []:
        if not isinstance(each, dict) or each.get("use", "sig") != "sig":
            continue
        key_id = each.get("kid")
        if each.get("kty") in ("RSA", "EC", "OKP") and isinstance(key_id, str | None):
            keys[key_id] = each
    if not keys:
        raise ValueError("The provider has no public keys for signatures.")
    return keys


def _public_key(key: Mapping[str, Any], algorithm: str) -> PyJWK | None:
    """The key, if it is made for that algorithm."""
    if key.get("alg", algorithm) != algorithm:
        return None
    public = {name: value for name, value in key.items() if name != "d"}
    try:
        return PyJWK(public, algorithm)
    except PyJWTError:
        return None
