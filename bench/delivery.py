"""Part six: how soon clients of the event stream hear of a change, through nginx."""

import json
import subprocess
import sys

from bench.figures import Load
from bench.setting import Setting, running, say
from local.apps import ROOT

RATE = 200  # requests per second, of which nine in ten change something
CONNECTIONS, CLIENTS = 16, 10
# The highest accepted latencies, in milliseconds.
P50, P99 = 50, 250


def run(setting: Setting) -> list[Load]:
    """What the clients saw in each round."""
    stack = setting.kit()
    rounds = []
    with running(stack.processes[::-1]):
        for number in range(setting.rounds + 1):
            rounds.append(_listen(stack.url, setting.seconds))
            seen = rounds[-1]
            say(
                f"delivery {number}/{setting.rounds}  {seen.requests:,} events: "
                f"p50 {seen.p50:.1f} ms, p99 {seen.p99:.1f} ms"
            )
    return rounds[1:]  # the first round warms up


def _listen(url: str, seconds: int) -> Load:
    listening = [sys.executable, "-m", "bench.listen", url, str(CLIENTS), str(seconds)]
    # The load lasts longer, so that every client hears something all the time.
    sending = [sys.executable, "-m", "bench.load_mixed", url, str(CONNECTIONS)]
    sending += [str(seconds + 2), str(RATE)]
    with subprocess.Popen(sending, cwd=ROOT, stdout=subprocess.PIPE) as load:
        done = subprocess.run(
            listening, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True
        )
        said = load.communicate()[0]
    sent = json.loads(said)
    assert sent["failed"] == 0 and load.returncode == 0, sent
    assert sent["requests"] > 0.9 * RATE * seconds, "the machine is too slow"
    return Load.from_json(done.stdout)
