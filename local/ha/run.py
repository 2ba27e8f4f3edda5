"""`make ha`: the lab, under faults or to play with."""

import os
import signal
import sys
from collections.abc import Mapping

from local.apps import ROOT
from local.ha.lab import Lab
from local.process import Cancelled
from local.registry import lacks_demo
from local.state import LOCAL, State

KEEP = "--keep"
FOLDER = "ha"
HINTS = """\
Ctrl-C stops all. What you kill starts again by itself. To lose it for longer, send
SIGSTOP (kill -STOP) and later SIGCONT, or cut it off: {cut}
"""


def run(arguments: list[str]) -> int:
    """Run the faults, or keep the lab; returns the exit code."""
    if KEEP in arguments:
        return keep({})
    if lacks_demo("make ha"):
        return 0
    # In this very process: whoever ends the launcher then ends all.
    words = [sys.executable, "-m", "tests.ha", *arguments]
    os.chdir(ROOT)
    os.execv(sys.executable, words)


def keep(env: Mapping[str, str]) -> int:
    """Keep the lab until Ctrl-C."""
    state = State(LOCAL / FOLDER)
    state.acquire()

    def stop(*_: object) -> None:
        state.cancelled.set()

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, stop)
    try:
        with Lab.create(state, {"LOG_FORMAT": "text", **env}, _say) as lab:
            _say(lab.where())
            _say(HINTS.format(cut=_cut(lab)))
            state.cancelled.wait()
    except Cancelled:
        pass
    finally:
        state.release(remove=True)
    return 0


def _cut(lab: Lab) -> str:
    if not lab.network.can_cut:
        return lab.network.why
    prefix = " ".join(lab.clusters.nodes[0].machine.prefix[:-1])
    return f"\n  {prefix} ip link set eth0 down    (and up)"


def _say(text: str) -> None:
    print(text, flush=True)
