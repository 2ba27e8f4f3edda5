"""Tokens and the provider's keys, with a provider that answers over HTTP."""

import asyncio
import base64
import hmac
import json
import ssl
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from jwt.algorithms import RSAAlgorithm

from app.core.auth_settings import AuthSettings
from app.core.exceptions import ProviderUnavailable, Unauthenticated
from app.core.principal import Principal
from app.infrastructure.identity import provider as provider_module
from app.infrastructure.identity import tokens
from app.infrastructure.identity.provider import MAX_KEYS, Provider
from app.infrastructure.identity.tokens import TokenVerifier
from local.certificates import ensure
from local.tls import Tls
from tests.counted import Counted
from tests.integration.provider import (
    AUDIENCE,
    FakeProvider,
    SigningKey,
    running_provider,
)

KEYS, DISCOVERY = "/keys", "/.well-known/openid-configuration"


@pytest.fixture
def fake() -> Iterator[FakeProvider]:
    with running_provider() as found:
        yield found


class Verifier:
    """A verifier and its provider, with settings of a test."""

    def __init__(self, issuer: str, **changed: Any) -> None:
        named = {"issuer": issuer, "audience": AUDIENCE, **changed}
        self.settings = AuthSettings(**named)
        self.provider = Provider(self.settings)
        self.verifier = TokenVerifier(self.settings, self.provider)

    async def verify(self, token: str) -> Principal:
        return await self.verifier.verify(token)

    async def refusal(self, token: str) -> str:
        with pytest.raises(Unauthenticated) as caught:
            await self.verify(token)
        assert caught.value.code == "invalid_token"
        return str(caught.value)


@pytest.fixture
async def known(fake: FakeProvider) -> AsyncIterator[Verifier]:
    """A verifier that knows the keys."""
    found = Verifier(fake.issuer)
    await found.verify(fake.token())
    yield found
    await found.provider.close()


@pytest.fixture
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(provider_module, "PAUSE", 0.0)


async def test_a_token_names_its_subject_and_scopes(
    fake: FakeProvider, known: Verifier
) -> None:
    principal = await known.verify(fake.token(sub="bob"))
    assert principal == Principal("bob", frozenset({"data:process", "records:read"}))
    assert [path for path, _ in fake.requests] == [DISCOVERY, KEYS]


@pytest.mark.parametrize(
    ("claims", "scopes"),
    [
        ({"scope": None, "scp": "a b"}, {"a", "b"}),
        ({"scope": None, "scp": ["a", "b c", 7]}, {"a", "b c"}),
        ({"scope": "a", "scp": "b"}, {"a", "b"}),
        ({"scope": None, "realm_access": {"roles": ["admin"]}}, {"admin"}),
        ({"scope": None, "realm_access.roles": "admin"}, {"admin"}),
        ({"scope": None, "realm_access": ["roles"]}, set()),
        ({"scope": {"a": 1}}, set()),
        ({"scope": ""}, set()),
    ],
)
async def test_scopes_come_from_scope_scp_and_roles(
    fake: FakeProvider, claims: dict[str, Any], scopes: set[str]
) -> None:
    found = Verifier(fake.issuer, roles_claim="realm_access.roles")
    principal = await found.verify(fake.token(**claims))
    assert principal.scopes == scopes
    await found.provider.close()


async def test_scopes_with_the_provider_s_prefix(fake: FakeProvider) -> None:
    found = Verifier(fake.issuer, scope_prefix="kit/")
    claims = fake.claims(scope="kit/data:process records:read other/admin kit/kit/a")
    principal = await found.verify(fake.keys[0].sign(claims))
    assert principal.scopes == {"data:process", "records:read", "other/admin", "kit/a"}
    await found.provider.close()


@pytest.mark.promise(
    "docs/SECURITY.md",
    "It has not expired and is already valid, within `AUTH_LEEWAY_SECONDS`.",
)
@pytest.mark.parametrize(
    ("claims", "words"),
    [
        ({"exp": 1}, "expired"),
        ({"exp": int(time.time()) - 31}, "expired"),
        ({"nbf": int(time.time()) + 3600}, "not valid yet"),
        ({"iat": int(time.time()) + 3600}, "not valid yet"),
        ({"exp": None}, "lacks"),
        ({"iat": None}, "lacks"),
        ({"sub": None}, "lacks"),
        ({"iss": None}, "lacks"),
        ({"iss": "https://other.example"}, "another issuer"),
        ({"aud": None}, "another audience"),
        ({"aud": "other"}, "another audience"),
        ({"aud": [f"{AUDIENCE}2"]}, "another audience"),
        ({"aud": {AUDIENCE: 1}}, "another audience"),
        ({"aud": [{}, 1]}, "another audience"),
        ({"sub": ""}, "subject"),
        ({"sub": "a\nb"}, "subject"),
        ({"sub": "\ud800"}, "subject"),
        ({"sub": "x" * 256}, "subject"),
        ({"exp": "soon"}, "cannot be read"),
        ({"exp": float("inf")}, "cannot be read"),
        ({"exp": [1]}, "cannot be read"),
    ],
)
async def test_claims_that_do_not_fit(
    fake: FakeProvider, known: Verifier, claims: dict[str, Any], words: str
) -> None:
    assert words in await known.refusal(fake.token(**claims))


@pytest.mark.promise(
    "docs/SECURITY.md",
    "It has not expired and is already valid, within `AUTH_LEEWAY_SECONDS`.",
)
async def test_clocks_may_differ(fake: FakeProvider, known: Verifier) -> None:
    now = int(time.time())
    await known.verify(fake.token(exp=now - 20))
    await known.verify(fake.token(iat=now + 20, nbf=now + 20))


@pytest.mark.parametrize("audience", [AUDIENCE, ["other", AUDIENCE]])
async def test_audiences(fake: FakeProvider, audience: Any) -> None:
    found = Verifier(fake.issuer, audience=f"x, {AUDIENCE}")
    await found.verify(fake.token(aud=audience))
    cognito = Verifier(fake.issuer, audience="abc", audience_claim="client_id")
    await cognito.verify(fake.token(aud=None, client_id="abc"))
    assert "audience" in await cognito.refusal(fake.token(aud="abc"))
    await found.provider.close()
    await cognito.provider.close()


@pytest.mark.promise(
    "docs/SECURITY.md", "Its type is `JWT` or `at+jwt` (RFC 9068), if it has one."
)
@pytest.mark.parametrize("kind", ["JWT", "at+jwt", "application/AT+JWT", None])
async def test_types_of_access_tokens(
    fake: FakeProvider, known: Verifier, kind: str | None
) -> None:
    await known.verify(fake.keys[0].sign(fake.claims(), typ=kind))


@pytest.mark.promise(
    "docs/SECURITY.md", "Its type is `JWT` or `at+jwt` (RFC 9068), if it has one."
)
@pytest.mark.parametrize("kind", ["logout+jwt", "dpop+jwt", "secevent+jwt"])
async def test_other_types_are_refused(
    fake: FakeProvider, known: Verifier, kind: str
) -> None:
    token = fake.keys[0].sign(fake.claims(), typ=kind)
    assert "not an access token" in await known.refusal(token)


@pytest.mark.parametrize("algorithm", ["RS512", "PS256", "ES256", "EdDSA"])
async def test_each_family_of_algorithms(
    fake: FakeProvider, algorithm: str, no_pause: None
) -> None:
    fake.keys = [SigningKey("it", algorithm)]
    found = Verifier(fake.issuer)
    await found.verify(fake.token())
    only = Verifier(fake.issuer, algorithms=["RS256"])
    assert "another algorithm" in await only.refusal(fake.token())
    await found.provider.close()
    await only.provider.close()


@pytest.mark.promise("docs/SECURITY.md", "`none` and HMAC are never accepted")
async def test_confused_algorithms(fake: FakeProvider, known: Verifier) -> None:
    key, claims = fake.keys[0], fake.claims()
    for secret in (key.pem(), json.dumps(key.public()).encode(), b""):
        start = raw({"alg": "HS256", "kid": "one"}, claims).rstrip(".")
        mac = hmac.digest(secret, start.encode(), "sha256")
        token = f"{start}.{base64.urlsafe_b64encode(mac).decode().rstrip('=')}"
        assert "another algorithm" in await known.refusal(token)
    for none in ("none", "None", "nOnE", "", None, 7, ["RS256"]):
        assert await known.refusal(raw({"alg": none, "kid": "one"}, claims))
    assert "unknown key" in await known.refusal(key.sign(claims, kid="one2"))
    other = SigningKey("one", "ES256")
    assert "unknown key" in await known.refusal(other.sign(claims))


@pytest.mark.promise("docs/SECURITY.md", "No other header of the token leads to a key.")
async def test_a_foreign_key_with_a_known_id(
    fake: FakeProvider, known: Verifier
) -> None:
    stranger = SigningKey("one")
    assert "signature" in await known.refusal(stranger.sign(fake.claims()))
    leads = {
        "jwk": stranger.public(),
        "jku": f"{fake.issuer}/theirs",
        "x5u": f"{fake.issuer}/theirs",
    }
    assert "signature" in await known.refusal(stranger.sign(fake.claims(), **leads))
    assert "/theirs" not in [path for path, _ in fake.requests]


@pytest.mark.promise("docs/SECURITY.md", "The signature fits.")
async def test_an_altered_token(fake: FakeProvider, known: Verifier) -> None:
    head, _, signature = fake.token().split(".")
    body = raw({}, fake.claims(sub="root", scope="admin")).split(".")[1]
    assert "signature" in await known.refusal(f"{head}.{body}.{signature}")


@pytest.mark.parametrize(
    "token",
    [
        *("", ".", "..", "...", "a.b.c", "x" * 16_385, "a.b.c.d.e", "é.é.é"),
        "eyJhbGciOiJSUzI1NiJ9..",
        base64.urlsafe_b64encode(b"[" * 9_000).decode() + ".e30.e30",
        base64.urlsafe_b64encode(b'{"alg":"RS256","kid":["a"]}').decode() + ".e30.e30",
        base64.urlsafe_b64encode(b'{"alg":"RS256","crit":["x"]}').decode() + ".e30.e30",
    ],
)
async def test_what_is_no_token(known: Verifier, token: str) -> None:
    assert await known.refusal(token)


async def test_refused_tokens_are_counted_by_reason(
    fake: FakeProvider, known: Verifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused = Counted()
    monkeypatch.setattr(tokens, "_refused", refused)
    await known.refusal(fake.token(exp=1))
    await known.refusal(fake.token(aud="other"))
    assert refused.numbers == {
        "app.auth.reason=The token has expired.": 1,
        "app.auth.reason=The token is for another audience.": 1,
    }


async def test_a_new_key_is_fetched_once_and_an_old_one_forgotten(
    fake: FakeProvider, known: Verifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = fake.token(sub="old")
    await known.verify(old)
    fake.keys = [SigningKey("two")]
    new = [fake.token(sub=f"user-{n}") for n in range(20)]
    assert "unknown key" in await known.refusal(new[0])  # too early to ask again
    monkeypatch.setattr(provider_module, "PAUSE", 0.0)

    def slowly() -> bytes:
        time.sleep(0.2)
        return keys_of(fake)

    fake.answers[KEYS] = slowly
    asked = len(fake.requests)
    found = await asyncio.gather(*map(known.verify, new))
    assert [each.subject for each in found] == [f"user-{n}" for n in range(20)]
    assert len(fake.requests) == asked + 1
    assert "unknown key" in await known.refusal(old)


async def test_a_caller_that_leaves_takes_no_keys_from_others(
    fake: FakeProvider,
) -> None:
    """All wait for one request to the provider."""
    free = threading.Event()

    def wait() -> bytes:
        free.wait(2)
        return keys_of(fake)

    fake.answers[KEYS] = wait
    found = Verifier(fake.issuer)
    leaves, stays = (
        asyncio.create_task(found.verify(fake.token(sub=name))) for name in "ab"
    )
    async with asyncio.timeout(10):
        while KEYS not in [path for path, _ in fake.requests]:
            await asyncio.sleep(0.01)
    leaves.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leaves
    free.set()
    assert (await stays).subject == "b"
    assert [path for path, _ in fake.requests] == [DISCOVERY, KEYS]
    await found.provider.close()


async def test_a_key_that_was_withdrawn_is_found_out(
    fake: FakeProvider, known: Verifier, monkeypatch: pytest.MonkeyPatch, no_pause: None
) -> None:
    """Tokens with keys that are known cause that: no other may ever come."""
    old, generation = fake.keys[0], known.provider.generation
    fake.keys = [SigningKey("two")]
    monkeypatch.setattr(provider_module, "FRESH", 0.0)
    await known.verify(old.sign(fake.claims(sub="still")))
    async with asyncio.timeout(10):
        while known.provider.generation == generation:
            await asyncio.sleep(0.01)
    assert "unknown key" in await known.refusal(old.sign(fake.claims(sub="still")))


async def test_a_key_is_good_for_its_own_algorithm(
    fake: FakeProvider, known: Verifier, no_pause: None
) -> None:
    key = fake.keys[0]
    # A private part that the provider lists by mistake does not matter.
    whole = RSAAlgorithm.to_jwk(key.private, as_dict=True) | {"use": "sig"}
    listed = {"keys": [{**whole, "kid": "own", "alg": "RS256"}]}
    fake.answers[KEYS] = json.dumps(listed).encode()
    await known.verify(key.sign(fake.claims(), kid="own"))
    other = key.sign(fake.claims(), kid="own", alg="PS256")
    assert "unknown key" in await known.refusal(other)


async def test_a_provider_names_a_limited_number_of_keys(
    fake: FakeProvider, known: Verifier, no_pause: None
) -> None:
    key = fake.keys[0]
    listed = [key.public() | {"kid": str(n)} for n in range(MAX_KEYS + 1)]
    fake.answers[KEYS] = json.dumps({"keys": listed}).encode()
    await known.verify(key.sign(fake.claims(), kid=str(MAX_KEYS - 1)))
    beyond = key.sign(fake.claims(), kid=str(MAX_KEYS))
    assert "unknown key" in await known.refusal(beyond)


@pytest.mark.promise(
    "docs/SECURITY.md",
    "It asks at most once in ten seconds, however many tokens arrive.",
)
async def test_a_flood_of_unknown_keys_asks_at_most_every_pause(
    fake: FakeProvider, known: Verifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(provider_module, "PAUSE", 0.5)
    stranger = SigningKey("?")
    ends = time.monotonic() + 2.2
    number = 0
    while time.monotonic() < ends:
        number += 1
        await known.refusal(stranger.sign(fake.claims(), kid=str(number)))
    times = [moment for path, moment in fake.requests if path == KEYS]
    gaps = [later - earlier for earlier, later in zip(times, times[1:], strict=False)]
    assert number > 20 and len(times) > 2
    assert min(gaps) > 0.45


@pytest.mark.promise(
    "docs/SECURITY.md", "its last keys stay in use for `AUTH_KEYS_MAX_AGE_HOURS`"
)
async def test_keys_outlive_the_provider_for_some_hours(
    fake: FakeProvider, known: Verifier, monkeypatch: pytest.MonkeyPatch, no_pause: None
) -> None:
    fake.answers = {KEYS: 503, DISCOVERY: 503}
    monkeypatch.setattr(provider_module, "FRESH", 0.0)
    await known.verify(fake.token(sub="still"))
    with pytest.raises(ProviderUnavailable):  # perhaps a new one of theirs
        await known.verify(SigningKey("new").sign(fake.claims()))
    with pytest.raises(ProviderUnavailable):
        await known.provider.check()
    fake.answers.clear()
    async with asyncio.timeout(10):
        while known.provider.failure:  # the probe's questions find out
            with suppress(ProviderUnavailable):
                await known.provider.check()
            await asyncio.sleep(0.01)
    assert "unknown key" in await known.refusal(SigningKey("new").sign(fake.claims()))
    fake.answers = {KEYS: 503, DISCOVERY: 503}
    known.provider._max_age = 0.0
    with pytest.raises(ProviderUnavailable):
        await known.verify(fake.token(sub="too late"))


@pytest.mark.parametrize(
    ("path", "answer"),
    [
        (DISCOVERY, 404),
        (DISCOVERY, b"[]"),
        (DISCOVERY, b"<html>"),
        (DISCOVERY, b"[" * 100_000),
        (DISCOVERY, b'{"issuer": "https://other.example", "jwks_uri": "https://x"}'),
        (KEYS, 302),
        (DISCOVERY, b'{"issuer": "ISSUER", "jwks_uri": "https://x:99999999"}'),
        (
            DISCOVERY,
            b'{"issuer": "ISSUER", "jwks_uri": "https://\xc3\xa9..\xf0\x9f\x98\x80/"}',
        ),
        (KEYS, b'{"keys": []}'),
        (KEYS, b'{"keys": {"a": 1}}'),
        (KEYS, b'{"keys": [{"kty": "oct", "kid": "one", "k": "c2VjcmV0"}]}'),
        (KEYS, b'{"keys": [{"kty": "RSA", "use": "enc", "kid": "one"}]}'),
        (KEYS, b'{"keys": "' + b"x" * 300_000 + b'"}'),
    ],
)
async def test_a_provider_that_answers_nonsense(
    fake: FakeProvider, path: str, answer: Any, no_pause: None
) -> None:
    if isinstance(answer, bytes):
        answer = answer.replace(b"ISSUER", fake.issuer.encode())
    fake.answers[path] = answer
    found = Verifier(fake.issuer)
    with pytest.raises(ProviderUnavailable):
        await found.verify(fake.token())
    assert found.provider.failure
    fake.answers.clear()
    await found.verify(fake.token())
    await found.provider.close()


@pytest.mark.parametrize(
    "url", ["http://keys.example/keys", "ftp://127.0.0.1/", "/keys", "https://", 7]
)
async def test_a_provider_that_names_unsafe_keys(fake: FakeProvider, url: Any) -> None:
    named = {"issuer": fake.issuer, "jwks_uri": url}
    fake.answers[DISCOVERY] = json.dumps(named).encode()
    found = Verifier(fake.issuer)
    with pytest.raises(ProviderUnavailable):
        await found.verify(fake.token())
    assert "no safe jwks_uri" in str(found.provider.failure)
    await found.provider.close()


async def test_a_redirect_leads_to_no_keys(fake: FakeProvider) -> None:
    """It could lead to http, where anybody on the way may answer."""
    fake.answers = {KEYS: f"{fake.issuer}/theirs", "/theirs": lambda: keys_of(fake)}
    found = Verifier(fake.issuer)
    with pytest.raises(ProviderUnavailable):
        await found.verify(fake.token())
    assert [path for path, _ in fake.requests] == [DISCOVERY, KEYS]
    await found.provider.close()


async def test_a_key_without_an_id(fake: FakeProvider) -> None:
    fake.keys = [SigningKey(None)]
    found = Verifier(fake.issuer)
    await found.verify(fake.token())
    await found.provider.close()


@pytest.mark.promise(
    "docs/SECURITY.md", "A process remembers 5,000 verified tokens until they expire."
)
async def test_remembered_tokens_are_bounded_and_expire(
    fake: FakeProvider, known: Verifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tokens, "MAX_REMEMBERED", 3)
    for number in range(5):
        await known.verify(fake.token(sub=f"user-{number}"))
    assert len(known.verifier._known) == 3
    # Clocks may differ by 30 s: it is good for three seconds or four.
    ends = int(time.time()) - 26
    soon = fake.token(exp=ends)
    await known.verify(soon)
    while time.time() < ends + 30:
        await asyncio.sleep(0.1)
    assert "expired" in await known.refusal(soon)


async def test_closing_ends_an_attempt_under_way(
    known: Verifier, monkeypatch: pytest.MonkeyPatch, no_pause: None
) -> None:
    waiting, client = asyncio.Event(), known.provider._client
    monkeypatch.setattr(known.provider, "_read", lambda _: waiting.wait())
    attempt = known.provider.refresh()
    await asyncio.sleep(0)
    await known.provider.close()
    assert attempt and attempt.cancelled()
    assert client and client.is_closed


async def test_a_provider_with_a_private_authority(tmp_path: Path) -> None:
    own, strange = Tls(tmp_path / "own"), Tls(tmp_path / "strange")
    for each in (own, strange):
        ensure(each.folder, print)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(*own.certificate("api"))
    with running_provider(tls=context) as fake:
        trusting = Verifier(fake.issuer, ca_file=str(own.ca))
        assert (await trusting.verify(fake.token())).subject == "alice"
        for wrong in (str(strange.ca), None):
            found = Verifier(fake.issuer, ca_file=wrong)
            with pytest.raises(ProviderUnavailable):
                await found.verify(fake.token())
            await found.provider.close()
        await trusting.provider.close()


def keys_of(fake: FakeProvider) -> bytes:
    return json.dumps({"keys": [key.public() for key in fake.keys]}).encode()


def raw(header: dict[str, Any], claims: dict[str, Any]) -> str:
    """An unsigned token."""
    parts = (json.dumps(part).encode() for part in (header, claims))
    coded = [base64.urlsafe_b64encode(part).decode().rstrip("=") for part in parts]
    return ".".join([*coded, ""])
