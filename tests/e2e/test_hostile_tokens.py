"""A flood of tokens that are not valid, beside a client whose token is."""

import asyncio
import base64
import hmac
import json
import secrets
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from itertools import islice
from multiprocessing import get_context

import pytest

from backend.tests.integration.provider import (
    AUDIENCE,
    FakeProvider,
    SigningKey,
    running_provider,
)
from local import apps
from local.ports import free_port
from local.stack import Stack
from local.state import State
from tests.e2e.client import RECORDS
from tests.hostile.connection import HOST, Connection, request

CONNECTIONS = 4
PAUSE = 10.0  # seconds between two requests to the provider, at least


def _coded(part: object) -> str:
    text = json.dumps(part).encode()
    return base64.urlsafe_b64encode(text).decode().rstrip("=")


def hostile_tokens(provider: FakeProvider) -> Iterator[str]:
    """One of each kind in turn, without end."""
    key, stranger = provider.keys[0], SigningKey("one")
    good = provider.token(scope="admin")
    head, claims, signature = good.split(".")
    admin = _coded(provider.claims(sub="root", scope="admin"))
    long_ago, foreign = provider.token(exp=1), stranger.sign(provider.claims())
    other = provider.token(iss="https://other.example")
    elsewhere = provider.token(aud="another")
    later = provider.token(nbf=int(time.time()) + 3600)
    keys = [SigningKey(secrets.token_hex(4)).sign(provider.claims()) for _ in range(3)]
    while True:
        some = secrets.token_urlsafe(12)
        yield from (long_ago, foreign, other, elsewhere, later, *keys)
        yield f"{head}.{admin}.{signature}"
        yield f"{head}.{claims}.{signature[:-8]}{some[:8]}"
        yield f"{head}.{claims}."
        for algorithm in ("none", "None", "HS256"):
            start = f"{_coded({'alg': algorithm, 'kid': 'one', 'x': some})}.{admin}"
            mac = hmac.digest(key.pem(), start.encode(), "sha256")
            coded = base64.urlsafe_b64encode(mac).decode().rstrip("=")
            yield f"{start}.{coded if algorithm == 'HS256' else ''}"
        named = {"alg": "RS256", "kid": some, "jku": f"http://{HOST}/keys"}
        yield f"{_coded(named)}.{admin}.{signature}"
        yield f"{head}.{_coded({'sub': some, 'pad': 'x' * 13_000})}.{signature}"
        yield some
        yield f"{some}.{some}.{some}"


def asking(token: str) -> bytes:
    path = f"{RECORDS}?limit=1"
    return request("GET", path, headers={"Authorization": f"Bearer {token}"})


def good_p99(port: int, token: str, number: int) -> float:
    """The p99 of a client's requests in seconds, in a process that does nothing
    else."""
    return asyncio.run(_good_p99(port, token, number))


async def _good_p99(port: int, token: str, number: int) -> float:
    connection = await Connection.open(port, HOST)
    times: list[float] = []
    while len(times) < number:
        began = time.perf_counter()
        await connection.send(asking(token))
        status, _ = await connection.answer()
        times.append(time.perf_counter() - began)
        assert status == 200
        await asyncio.sleep(0.005)  # a client thinks
    connection.close()
    return sorted(times)[int(len(times) * 0.99)]


async def attack(port: int, tokens: Iterator[str]) -> list[int]:
    """The statuses of the answers."""
    connection, statuses = await Connection.open(port, HOST), []
    for token in tokens:
        await connection.send(asking(token))
        status, _ = await connection.answer()
        statuses.append(status)
    connection.close()
    return statuses


@pytest.mark.parametrize(
    "number",
    [
        1_000,
        pytest.param(100_000, marks=[pytest.mark.chaos, pytest.mark.timeout(1200)]),
    ],
)
async def test_no_hostile_token_passes(stack: Stack, state: State, number: int) -> None:
    """Prints how much slower the good client is; see it with ``pytest -s``."""
    with running_provider() as provider:
        named = {"AUTH_ISSUER": provider.issuer, "AUTH_AUDIENCE": AUDIENCE}
        port = free_port()
        env = {**stack.env, **named, "AUTH_DISABLED": "false"}
        api = apps.api(f"attacked-api-{number}", state, env, port)
        api.start()
        token = provider.token(exp=int(time.time()) + 3000)
        loop, pool = asyncio.get_running_loop(), ProcessPoolExecutor(
            1, get_context("spawn")
        )

        def measure(requests: int) -> asyncio.Future[float]:
            return loop.run_in_executor(pool, good_p99, port, token, requests)

        try:
            began = time.monotonic()
            await measure(50)  # the process starts, and the token is verified
            alone = await measure(300)
            tokens = hostile_tokens(provider)
            good = measure(number // 50)
            shares = [islice(tokens, number // CONNECTIONS) for _ in range(CONNECTIONS)]
            statuses = await asyncio.gather(*(attack(port, each) for each in shares))
            slower = await good
            assert {status for each in statuses for status in each} == {401}
            assert sum(map(len, statuses)) == number
            took = time.monotonic() - began
        finally:
            api.stop()
            pool.shutdown()
    asked = [path for path, _ in provider.requests if path == "/keys"]
    assert 1 <= len(asked) <= 2 + took / PAUSE
    print(
        f"\n{number} hostile tokens in {took:.0f} s; p99 of the good client "
        f"{1000 * alone:.1f} ms alone, {1000 * slower:.1f} ms beside them: "
        f"{slower / alone:.2f} times; {len(asked)} requests for keys"
    )
