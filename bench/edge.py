"""`python -m bench.edge`: what the edge costs a request: an idempotency key, and the
strict reading of its body.

Requests with a fresh key and without one take turns on one connection. The reading is
timed alone, and compared with the processor time that the API spends on a request
under load.
"""

import http.client
import importlib
import json
import sys
import time
from collections.abc import Callable
from statistics import median
from uuid import uuid4

from bench import load, usage
from bench.setting import open_setting, running
from local.apps import ROOT
from local.stack import Stack

sys.path.insert(0, str(ROOT / "backend"))
strict_json = importlib.import_module("app.api.strict_json")

PATH = "/api/v1/data/process"
BODY = b'{"payload":"hello world","description":"uppercase"}'
TURNS = 4000
READINGS = 50_000


def main() -> int:
    """Print the figures."""
    with open_setting(seconds=1, rounds=1) as setting:
        kit = setting.kit()
        with running([*kit.apis, *kit.services]):
            plain, keyed = turns(kit)
            before = usage.cpu_seconds(kit.apis)
            requests = load.post(kit.api_url + PATH, 32, 10).requests
            spent = (usage.cpu_seconds(kit.apis) - before) / requests
    print(
        f"p50 at 1 connection: {plain:.2f} ms, with a key {keyed:.2f} ms: "
        f"{keyed - plain:+.2f} ms (target: at most +0.6)"
    )
    strict = per_call(lambda: strict_json.parse_json(BODY))
    bare = per_call(lambda: json.loads(BODY))
    print(
        f"reading the body: {strict * 1e6:.1f} µs, by json.loads {bare * 1e6:.1f} µs; "
        f"the difference is {(strict - bare) / spent:.1%} of the {spent * 1e6:.0f} µs "
        "that a request costs the API (target: at most 5%)"
    )
    return 0


def turns(kit: Stack) -> tuple[float, float]:
    """Milliseconds without a key and with one."""
    connection = http.client.HTTPConnection("127.0.0.1", kit.apis[0].port)
    times: dict[bool, list[float]] = {False: [], True: []}
    for number in range(TURNS):
        keyed = number % 2 == 1
        headers = {"Content-Type": "application/json"}
        if keyed:
            headers["Idempotency-Key"] = str(uuid4())
        began = time.perf_counter()
        connection.request("POST", PATH, BODY, headers)
        answer = connection.getresponse()
        answer.read()
        times[keyed].append(time.perf_counter() - began)
        assert answer.status == 200, answer.status
    return 1000 * median(times[False]), 1000 * median(times[True])


def per_call(act: Callable[[], object]) -> float:
    """Seconds, the best of three."""
    best = float("inf")
    for _ in range(3):
        began = time.perf_counter()
        for _ in range(READINGS):
            act()
        best = min(best, (time.perf_counter() - began) / READINGS)
    return best


if __name__ == "__main__":
    sys.exit(main())
