"""Tokens of a provider that is not ours: oidc-provider of npm."""

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest

from app.api.security import READ_METRICS, SCOPES
from app.core.auth_settings import AuthSettings
from app.core.exceptions import ProviderUnavailable, Unauthenticated
from app.core.health import HealthChecks, PartState
from app.core.principal import Principal
from app.infrastructure.identity import provider as provider_module
from app.infrastructure.identity.provider import Provider
from app.infrastructure.identity.tokens import TokenVerifier
from local.state import State
from tests.oidc.server import AUDIENCE, OidcProvider, start_oidc_provider, with_key


@pytest.fixture
def certified(state: State) -> Iterator[OidcProvider]:
    server = OidcProvider(state, scopes=list(SCOPES))
    start_oidc_provider(server)
    yield server
    server.stop()


@pytest.fixture
async def known(
    certified: OidcProvider, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Provider]:
    """The provider as the API knows it. It may be asked at any time."""
    monkeypatch.setattr(provider_module, "PAUSE", 0.0)
    found = Provider(settings_for(certified))
    yield found
    await found.close()


def settings_for(server: OidcProvider) -> AuthSettings:
    return AuthSettings(issuer=server.issuer, audience=AUDIENCE)


@pytest.fixture
def verifier(certified: OidcProvider, known: Provider) -> TokenVerifier:
    return TokenVerifier(settings_for(certified), known)


async def test_a_service_account(
    certified: OidcProvider, known: Provider, verifier: TokenVerifier
) -> None:
    only = await verifier.verify(certified.token(READ_METRICS))
    assert only == Principal("orders", frozenset({READ_METRICS}))
    assert (await verifier.verify(certified.token())).scopes == set(SCOPES)
    assert known.endpoints is not None
    assert known.endpoints.authorization == f"{certified.issuer}/auth"
    assert known.endpoints.token == f"{certified.issuer}/token"
    other = AuthSettings(issuer=certified.issuer, audience="other")
    with pytest.raises(Unauthenticated, match="another audience"):
        await TokenVerifier(other, known).verify(certified.token())


async def test_its_keys_change(
    certified: OidcProvider, verifier: TokenVerifier
) -> None:
    old = certified.token()
    await verifier.verify(old)
    certified.keys = ["two", "one"]
    certified.restart()
    new = certified.token()
    await verifier.verify(new)
    await verifier.verify(old)
    certified.keys = ["three", "two"]
    certified.restart()
    await verifier.verify(certified.token())
    await verifier.verify(new)
    with pytest.raises(Unauthenticated, match="unknown key"):
        await verifier.verify(old)


async def test_an_outage(
    certified: OidcProvider, known: Provider, verifier: TokenVerifier
) -> None:
    async def no_services() -> dict[str, PartState]:
        return {}

    async def is_up() -> bool:
        checks = {"identity-provider": known.check}
        health = HealthChecks(checks, frozenset(), no_services)
        return (await health.report()).parts["identity-provider"].is_up

    tokens = [certified.token(), certified.token()]
    await verifier.verify(tokens[0])
    assert await is_up()
    certified.kill()
    await verifier.verify(tokens[0])
    await verifier.verify(tokens[1])  # not seen before
    with pytest.raises(ProviderUnavailable):
        await verifier.verify(with_key("unknown", tokens[0]))
    assert not await is_up()
    assert known.endpoints is not None  # for the documentation
    certified.keys = ["two"]
    await asyncio.to_thread(certified.start)  # an attempt under way may end
    await verifier.verify(certified.token())
    assert await is_up()
