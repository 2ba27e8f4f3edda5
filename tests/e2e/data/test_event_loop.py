"""Large bodies do not hold the API's event loop: others are served meanwhile."""

import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from local import apps
from local.ports import free_port
from local.stack import Stack
from local.state import State
from tests.e2e.client import PROCESS, Api
from tests.hostile.attacks import bodies

WATCHED = apps.ROOT / "tests" / "hostile"
SLOWEST = bodies()["numbers of 4,000 digits"]
# Of the time that the slowest body takes here: 0.7 is usual, and 1.4 on the loop.
MOST, ATTEMPTS = 0.85, 5


@pytest.fixture(scope="module")
def watched(state: State, stack: Stack) -> Iterator[Api]:
    """Another API process of the stack, which tells how long it held its loop."""
    process = apps.api("watched", state, stack.env, free_port())
    process.arguments = ["-m", "uvicorn", "watched:app", "--app-dir", str(WATCHED)]
    process.arguments += ["--port", str(process.port), "--no-access-log"]
    process.start()
    client = Api(process.address)
    yield client
    client.close()
    process.stop()


def text_takes(body: bytes) -> float:
    """Seconds to read and write it once, on this machine as busy as it is."""
    began = time.process_time()
    json.dumps(json.loads(body))
    return time.process_time() - began


@pytest.mark.parametrize("name", bodies())
def test_large_bodies_hold_the_loop_shortly(watched: Api, name: str) -> None:
    """The best of some attempts: tests run beside each other, and slow each other
    down."""
    body, at_a_time = bodies()[name], 4
    holds: list[float] = []
    allowed: list[float] = []
    for _ in range(ATTEMPTS):
        watched.http.get("/longest-hold")
        with ThreadPoolExecutor(at_a_time) as threads:
            sent = [
                threads.submit(watched.send, PROCESS, body) for _ in range(at_a_time)
            ]
            assert {each.result().status_code for each in sent} <= {200, 422}
        holds.append(watched.http.get("/longest-hold").json())
        allowed.append(MOST * text_takes(SLOWEST))
        if holds[-1] <= allowed[-1]:
            return
    pytest.fail(f"{name}: held the loop for {holds} s, allowed were {allowed} s")
