"""Part six: what the event log costs the whole path.

One stack under constant load; the triggers that write the events are on in one half of
each round, and off in the other. The relay runs in both.
"""

from statistics import median
from typing import NamedTuple

from bench import load
from bench.setting import Setting, running, say

CONNECTIONS = 32
SECONDS = 3
ROUNDS = 9
SWITCH = "ALTER TABLE data_processing_records {} TRIGGER USER"
# The lowest accepted share of the rate without the log.
BOUND = 0.88


class Pair(NamedTuple):
    """Requests per second in the halves of one round."""

    without: float
    logged: float


def run(setting: Setting) -> list[Pair]:
    """The halves change their order each round."""
    stack = setting.kit()
    pairs = []
    with running(stack.processes[::-1]):
        for number in range(ROUNDS + 1):
            rates = {}
            for verb in ("DISABLE", "ENABLE")[:: 1 if number % 2 else -1]:
                setting.servers.postgres.execute(SWITCH.format(verb))
                seen = load.post(
                    f"{stack.url}/api/v1/data/process", CONNECTIONS, SECONDS
                )
                assert seen.failed == 0, seen
                rates[verb] = seen.rate
            if number:  # the first round warms up
                pairs.append(Pair(rates["DISABLE"], rates["ENABLE"]))
                say(
                    f"event log {number}/{ROUNDS}  off: {pairs[-1].without:,.0f}, "
                    f"on: {pairs[-1].logged:,.0f} requests/s"
                )
    return pairs


def share(pairs: list[Pair]) -> float:
    """The rate with the log as a share of the rate without, round by round."""
    return median(pair.logged / pair.without for pair in pairs)
