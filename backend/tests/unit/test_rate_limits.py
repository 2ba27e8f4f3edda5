"""Rate limits with a counter in this process; ``tests/integration`` has Redis."""

import asyncio
from collections import Counter
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from fastapi import FastAPI, WebSocket
from fastapi.testclient import TestClient
from httpx2 import Response
from pydantic import ValidationError
from starlette.testclient import WebSocketDenialResponse

from app.api.middleware.rate_limits import (
    RateLimitMiddleware,
    RefusedTokenMiddleware,
)
from app.core import rate_limits
from app.core.auth_settings import AuthSettings
from app.core.browser_settings import CorsSettings
from app.core.exceptions import ProviderUnavailable, Unauthenticated
from app.core.principal import Principal
from app.core.rate_limit_settings import RateLimitSettings, RatePolicy
from app.core.rate_limits import RateLimits, Verdict
from tests.echo import EchoSettings, create_echo_app

RECORDS = "/api/v1/nowhere"  # 404, and limited as every path


class SharedCounter:
    """What all processes share; ``is_there`` says whether it answers."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.questions = 0
        self.is_there = True

    async def add(self, key: str, seconds: int, amount: int) -> int | None:
        self.questions += 1
        await asyncio.sleep(0)
        if not self.is_there:
            return None
        self.counts[key] += amount
        return self.counts[key]


@pytest.fixture
def counter() -> SharedCounter:
    return SharedCounter()


class Clock:
    now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


def process(
    counter: SharedCounter, amount: int, seconds: int = 60, clock: Any = Clock()
) -> RateLimits:
    """The limits of one API process."""
    policies = {"read": RatePolicy("read", amount, seconds)}
    return RateLimits(policies, counter.add, clock)


async def take(limits: RateLimits, caller: str = "alice") -> Verdict:
    verdict = await limits.take("read", caller)
    assert verdict is not None
    return verdict


async def passed(limits: RateLimits, requests: int, caller: str = "alice") -> int:
    """How many of so many requests at a time may pass."""
    verdicts = await asyncio.gather(*(take(limits, caller) for _ in range(requests)))
    return sum(verdict.may_pass for verdict in verdicts)


# Counting.


async def test_a_caller_has_its_requests_and_no_more(counter: SharedCounter) -> None:
    limits = process(counter, 3)
    found = [await take(limits) for _ in range(5)]
    assert [each.may_pass for each in found] == [True, True, True, False, False]
    assert [each.left for each in found] == [2, 1, 0, 0, 0]
    assert (await take(limits, "bob")).may_pass


async def test_what_is_left_includes_what_the_process_has_reserved(
    counter: SharedCounter,
) -> None:
    limits = process(counter, 100)
    left = [(await take(limits)).left for _ in range(100)]
    assert left == [*range(99, -1, -1)] and counter.questions < 100


@pytest.mark.promise("docs/BUDGETS.md", "All API processes share the count.")
@pytest.mark.parametrize("amount", [1, 7, 20, 100, 1000])
@pytest.mark.parametrize("processes", [1, 2, 5])
async def test_processes_share_a_limit(
    counter: SharedCounter, amount: int, processes: int
) -> None:
    """A client that goes from one process to the next gets exactly its requests."""
    each = [process(counter, amount) for _ in range(processes)]
    found = [await take(each[n % processes]) for n in range(2 * amount + 50)]
    assert sum(verdict.may_pass for verdict in found) == amount


@pytest.mark.promise(
    "docs/BUDGETS.md", "Together they never accept more than the limit in one window."
)
@pytest.mark.parametrize("processes", [1, 2, 5])
async def test_a_crowd_gets_no_more_than_the_limit(
    counter: SharedCounter, processes: int
) -> None:
    each = [process(counter, 100) for _ in range(processes)]
    found = await asyncio.gather(*(passed(one, 150) for one in each))
    assert sum(found) == 100


async def test_a_crowd_of_one_process_leaves_the_rest_to_others(
    counter: SharedCounter,
) -> None:
    one, other = process(counter, 600), process(counter, 600)
    assert await passed(one, 200) == 200
    assert await passed(other, 600) == 600 - 200


@pytest.mark.promise("docs/BUDGETS.md", "Most requests therefore do not ask Redis.")
async def test_a_busy_caller_costs_few_questions(counter: SharedCounter) -> None:
    limits = process(counter, 600)
    assert await passed(limits, 1) == 1
    for _ in range(299):
        assert (await take(limits)).may_pass
    assert counter.questions <= 60


async def test_a_crowd_asks_together(counter: SharedCounter) -> None:
    assert await passed(process(counter, 15), 40) == 15
    assert counter.questions == 2  # the first one alone, then all who wait


async def test_refusing_costs_no_question(counter: SharedCounter) -> None:
    limits = process(counter, 3)
    await passed(limits, 10)
    asked = counter.questions
    assert await passed(limits, 1000) == 0
    assert counter.questions == asked


async def test_a_new_window_begins_at_its_time(counter: SharedCounter) -> None:
    clock = Clock()
    limits = process(counter, 2, 60, clock)
    assert await passed(limits, 3) == 2
    refused = await take(limits)
    assert 0 < refused.seconds <= 60
    clock.now += refused.seconds - 1
    assert not (await take(limits)).may_pass
    clock.now += 1
    again = await take(limits)
    assert (again.may_pass, again.left, again.seconds) == (True, 1, 60)
    clock.now -= 3600  # a clock that is set back
    assert (await take(limits)).seconds <= 60


@pytest.mark.promise(
    "docs/BUDGETS.md",
    "Each caller's windows start at another moment, so not all clients return at "
    "once.",
)
async def test_windows_of_callers_begin_at_different_moments(
    counter: SharedCounter,
) -> None:
    limits = process(counter, 2)
    found = {(await take(limits, f"caller {n}")).seconds for n in range(50)}
    assert len(found) > 20


# Without the counter.


async def test_without_the_counter_each_process_counts(counter: SharedCounter) -> None:
    one, other = process(counter, 10), process(counter, 10)
    assert await passed(one, 4) == 4
    counter.is_there = False
    assert await passed(one, 20) == 6  # it goes on from what it knows
    assert await passed(other, 20) == 10


async def test_the_counter_is_told_what_it_missed(counter: SharedCounter) -> None:
    clock = Clock()
    one, other = process(counter, 100, 60, clock), process(counter, 100, 60, clock)
    counter.is_there = False
    for _ in range(45):
        assert (await take(one)).may_pass
    counter.is_there = True
    for _ in range(5):  # what it has reserved, and one more
        assert (await take(one)).may_pass
    assert 48 <= await passed(other, 100) <= 50


# Callers that never return.


@pytest.mark.promise("docs/BUDGETS.md", "New callers fill no memory.")
@pytest.mark.budget("rate_limits.MAX_CALLERS")
async def test_new_callers_take_the_place_of_old_ones(
    counter: SharedCounter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rate_limits, "MAX_CALLERS", 3)
    counter.is_there = False
    limits = process(counter, 1)
    assert await passed(limits, 5, "alice") == 1
    for number in range(2):
        await take(limits, f"caller {number}")
    assert not (await take(limits, "alice")).may_pass  # there is room for three
    await take(limits, "one more")
    assert (await take(limits, "alice")).may_pass
    remembered = [len(each) for each in limits._quotas.values()]
    assert remembered == [3]


async def test_a_forgotten_caller_is_still_counted(
    counter: SharedCounter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rate_limits, "MAX_CALLERS", 3)
    limits = process(counter, 1)
    assert (await take(limits, "alice")).may_pass
    for number in range(5):
        await take(limits, f"caller {number}")
    assert not (await take(limits, "alice")).may_pass


# Settings.


@pytest.mark.parametrize(
    ("rate", "amount", "seconds"),
    [
        ("600/minute", 600, 60),
        ("1 per second", 1, 1),
        ("100/10 seconds", 100, 10),
        ("5/hour", 5, 3600),
        ("5/day", 5, 86_400),
    ],
)
def test_rates(rate: str, amount: int, seconds: int) -> None:
    policies = RateLimitSettings(read=rate).policies
    assert policies == {"read": RatePolicy("read", amount, seconds)}


@pytest.mark.parametrize(
    "rate",
    [
        *("600", "many", "600/fortnight", "0/minute", "-1/minute", "1.5/minute"),
        *("5/2 days", "5/month", "1/second;5/minute", "1/second, 5/day"),
        *(f"{10**15}/minute", "9" * 5000 + "/minute", "/minute", "５/minute"),
    ],
)
def test_a_wrong_rate_stops_the_start_with_advice(
    rate: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RATE_LIMIT_WRITE", rate)
    with pytest.raises(ValidationError, match="such as 600/minute"):
        RateLimitSettings()


def test_without_a_setting_there_is_no_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RATE_LIMIT_READ", "")
    assert not RateLimitSettings().policies
    plain = create_echo_app(EchoSettings())
    kinds: list[Any] = [each.cls for each in plain.user_middleware]
    assert not {RateLimitMiddleware, RefusedTokenMiddleware} & {*kinds}


# HTTP.


class Tokens:
    """Names the subject of a token as it is written, if it is good."""

    async def verify(self, token: str) -> Principal:
        if token == "unknown":
            raise ProviderUnavailable("It does not answer.")
        if not token.startswith("good-"):
            raise Unauthenticated("The signature is wrong.", is_token=True)
        return Principal(token.removeprefix("good-"))


def create_limited_app(
    counter: SharedCounter, *, auth: bool = False, **rates: str
) -> FastAPI:
    named = {"issuer": "http://127.0.0.1:1", "audience": "kit"} if auth else {}
    rates = rates or {"read": "3/day", "write": "2/day"}
    settings = EchoSettings(
        rate_limits=RateLimitSettings(**rates),  # type: ignore[arg-type]
        auth=AuthSettings(**named),  # type: ignore[arg-type]
        cors=CorsSettings(origins=["https://app.example"]),
    )
    app = create_echo_app(settings)

    @app.websocket("/api/v1/socket")
    async def socket(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.close()

    limits = RateLimits(settings.rate_limits.policies, counter.add)
    app.state.resources = SimpleNamespace(
        settings=settings, rate_limits=limits, identity=Tokens(), keys=None
    )
    return app


def client_of(app: FastAPI, address: str = "192.0.2.7", token: str = "") -> TestClient:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    return TestClient(app, client=(address, 1), headers=headers)


@pytest.fixture
def app(counter: SharedCounter) -> FastAPI:
    return create_limited_app(counter)


@pytest.fixture
def guarded(counter: SharedCounter) -> FastAPI:
    return create_limited_app(counter, auth=True)


def statuses(client: TestClient, requests: int, path: str = RECORDS) -> list[int]:
    return [client.get(path).status_code for _ in range(requests)]


def assert_refused(answer: Response) -> None:
    assert answer.status_code == 429
    assert answer.headers["Content-Type"] == "application/problem+json"
    content = answer.json()
    assert content["code"] == "rate_limited" and content["detail"]
    assert content["request_id"] == answer.headers["X-Request-ID"]


@pytest.mark.budget("RATE_LIMIT_READ")
def test_the_headers_say_what_is_left(app: FastAPI) -> None:
    client = client_of(app)
    for left in (2, 1, 0):
        answer = client.get(RECORDS)
        assert answer.status_code == 404
        state, seconds = answer.headers["RateLimit"].split(";t=")
        assert state == f'"read";r={left}' and 0 < int(seconds) <= 86_400
        assert answer.headers["RateLimit-Policy"] == '"read";q=3;w=86400'
        assert "Retry-After" not in answer.headers
    refused = client.get(RECORDS)
    assert_refused(refused)
    assert refused.headers["RateLimit-Policy"] == '"read";q=3;w=86400'
    state, seconds = refused.headers["RateLimit"].split(";t=")
    assert state == '"read";r=0'
    assert refused.headers["Retry-After"] == seconds


@pytest.mark.budget("RATE_LIMIT_WRITE")
def test_reading_and_writing_have_their_own_limits(app: FastAPI) -> None:
    client = client_of(app)
    answers = [client.post(RECORDS) for _ in range(3)]
    assert [each.status_code for each in answers] == [404, 404, 429]
    assert answers[0].headers["RateLimit-Policy"] == '"write";q=2;w=86400'
    assert client.delete(RECORDS).status_code == 429
    assert client.head(RECORDS).status_code == client.get(RECORDS).status_code == 404


def test_one_limit_may_be_set_alone(counter: SharedCounter) -> None:
    client = client_of(create_limited_app(counter, write="1/day"))
    assert statuses(client, 5) == [404] * 5
    assert "RateLimit" not in client.get(RECORDS).headers
    assert client.post(RECORDS).status_code == 404
    assert_refused(client.post(RECORDS))


def test_probes_and_documentation_have_no_limit(app: FastAPI) -> None:
    client = client_of(app)
    assert statuses(client, 4)[-1] == 429
    for path in ("/health/live", "/", "/api/v1/docs", "/api/v1/openapi.json"):
        answers = [client.get(path) for _ in range(5)]
        assert {each.status_code for each in answers} == {200}
        assert "RateLimit" not in answers[0].headers
    asset = "/api/v1/docs-assets/swagger-ui-bundle.js"
    assert statuses(client, 5, asset) == [200] * 5


@pytest.mark.parametrize(
    ("one", "other", "are_one"),
    [
        ("192.0.2.7", "192.0.2.8", False),
        ("2001:db8::1", "2001:db8::ffff:1", True),
        ("2001:db8:0:0:1::", "2001:db8:0:0:ffff::1", True),
        ("2001:db8:0:1::1", "2001:db8:0:2::1", False),
        ("::ffff:192.0.2.7", "192.0.2.7", True),
        ("::ffff:192.0.2.7", "::ffff:192.0.2.8", False),
        ("fe80::1%eth0", "fe80::2", True),
        ("", "192.0.2.7", False),
    ],
)
def test_which_addresses_count_together(
    app: FastAPI, one: str, other: str, are_one: bool
) -> None:
    assert statuses(client_of(app, one), 4)[-1] == 429
    assert (statuses(client_of(app, other), 1) == [429]) == are_one


def test_a_browser_may_read_the_headers_and_ask_what_is_allowed(app: FastAPI) -> None:
    client = client_of(app)
    client.headers["Origin"] = "https://app.example"
    for _ in range(4):
        answer = client.get(RECORDS)
        exposed = answer.headers["Access-Control-Expose-Headers"].split(", ")
        assert {"RateLimit", "RateLimit-Policy", "Retry-After"} <= set(exposed)
    assert answer.status_code == 429
    asked = {"Access-Control-Request-Method": "GET"}
    preflight = client.options(RECORDS, headers=asked)
    assert preflight.status_code == 200


@pytest.mark.promise("SEQUENCE-DIAGRAMS.md", "401, the body is not read")
def test_a_refused_request_is_not_read(app: FastAPI) -> None:
    client = client_of(app)
    for _ in range(2):
        client.post(RECORDS)

    def body() -> Iterator[bytes]:
        yield b"x"
        raise AssertionError("the body was read")

    assert_refused(client.post(RECORDS, content=body()))


# With identity.


@pytest.mark.promise("docs/SECURITY.md", "A valid token counts for its subject")
def test_subjects_are_limited_wherever_they_are(guarded: FastAPI) -> None:
    assert statuses(client_of(guarded, "192.0.2.1", "good-alice"), 2) == [404, 404]
    alice = client_of(guarded, "192.0.2.2", "good-alice")
    assert statuses(alice, 2) == [404, 429]
    assert statuses(client_of(guarded, "192.0.2.2", "good-bob"), 1) == [404]
    assert statuses(client_of(guarded, "192.0.2.1", "good-bob"), 3) == [404, 404, 429]


def test_a_subject_is_no_address(guarded: FastAPI) -> None:
    assert statuses(client_of(guarded, "192.0.2.1"), 4) == [401, 401, 401, 429]
    assert statuses(client_of(guarded, "192.0.2.2", "good-192.0.2.1"), 1) == [404]


@pytest.mark.promise(
    "docs/SECURITY.md", "A request without a valid token counts for its address"
)
@pytest.mark.parametrize("token", ["", "bad", "bad token", "good-alice, Bearer x"])
def test_refused_tokens_count_for_their_address(guarded: FastAPI, token: str) -> None:
    client = client_of(guarded, "192.0.2.1", token)
    answers = [client.get(RECORDS) for _ in range(5)]
    assert [each.status_code for each in answers] == [401, 401, 401, 429, 429]
    assert answers[0].headers["RateLimit"].startswith('"read";r=2;t=')
    assert answers[0].headers["WWW-Authenticate"]
    assert_refused(answers[3])
    assert answers[3].headers["Retry-After"]
    assert "WWW-Authenticate" not in answers[3].headers
    assert statuses(client_of(guarded, "192.0.2.9"), 1) == [401]


@pytest.mark.promise(
    "docs/SECURITY.md",
    "A valid token passes even where the address has used up its requests.",
)
def test_a_guesser_uses_up_no_request_of_its_neighbours(guarded: FastAPI) -> None:
    assert statuses(client_of(guarded, "192.0.2.1", "bad"), 4)[-1] == 429
    neighbour = client_of(guarded, "192.0.2.1", "good-alice")
    assert statuses(neighbour, 4) == [404, 404, 404, 429]


def test_good_tokens_use_up_no_request_of_the_address(guarded: FastAPI) -> None:
    for name in ("alice", "bob"):
        statuses(client_of(guarded, "192.0.2.1", f"good-{name}"), 4)
    assert statuses(client_of(guarded, "192.0.2.1", "bad"), 1) == [401]


@pytest.mark.promise("docs/SECURITY.md", "If the identity provider is down")
def test_an_outage_of_the_provider_is_not_counted(guarded: FastAPI) -> None:
    assert statuses(client_of(guarded, "192.0.2.1", "unknown"), 5) == [503] * 5
    assert statuses(client_of(guarded, "192.0.2.1", "bad"), 1) == [401]


# WebSockets.


def connect(client: TestClient) -> int:
    """The status of the answer to a WebSocket's request."""
    try:
        with client.websocket_connect("/api/v1/socket"):
            return 101
    except WebSocketDenialResponse as refused:
        return refused.status_code
    except Exception:  # closed before it was accepted
        return 403


def test_a_websocket_counts_as_a_read(app: FastAPI) -> None:
    client = client_of(app)
    assert [connect(client) for _ in range(4)] == [101, 101, 101, 429]
    assert statuses(client, 1) == [429]


def test_a_websocket_without_a_token_counts_for_its_address(guarded: FastAPI) -> None:
    client = client_of(guarded, "192.0.2.1")
    assert [connect(client) for _ in range(4)] == [401, 401, 401, 429]
