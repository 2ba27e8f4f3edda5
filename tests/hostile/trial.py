"""One attack, the measurements during it, and their verdict."""

import subprocess
import sys
import time
from dataclasses import dataclass, field

import httpx2

from local.apps import ROOT
from local.stack import Stack
from tests.e2e.client import PROCESS, RECORDS
from tests.hostile.attacks import payload
from tests.hostile.witness import Witness, weigh

#: Allowed megabytes for each; the worker is only observed.
MOST = {"API": 300.0, "service": 150.0, "gateway": 128.0}
LIVE_P99, FRIEND_P99, GOOD = 0.25, 1.0, 0.99
AFTERWARDS = 10.0  # seconds


@dataclass
class Trial:
    """The results of an attack."""

    name: str
    memory: dict[str, float]
    live_p99: float
    good: float
    friend_p99: float
    afterwards: str = ""
    findings: list[str] = field(default_factory=list)

    def row(self) -> list[str]:
        """For the table."""
        kinds = ("API", "service", "gateway", "worker")
        return [
            self.name,
            *(f"{self.memory.get(kind, 0):.0f} MB" for kind in kinds),
            f"{1000 * self.live_p99:.0f} ms",
            f"{100 * self.good:.1f}%",
            f"{1000 * self.friend_p99:.0f} ms",
            self.afterwards,
        ]


HEAD = ["attack", "API", "service", "gateway", "worker"]
HEAD += ["live p99", "friendly ok", "friendly p99", "10 s later"]


def attempt(
    stack: Stack, name: str, attacks: list[str], clients: int, seconds: float
) -> Trial:
    """Attack from a separate process, and observe."""
    port = str(stack.nginx.port if stack.nginx else stack.apis[0].port)
    command = [sys.executable, "-m", "tests.hostile.attacker", port]
    command += [str(clients), str(seconds), *attacks]
    with Witness(stack) as witness:
        attacker = subprocess.run(command, cwd=ROOT, timeout=seconds + 60)
    friend, live = witness.friend, witness.live
    trial = Trial(name, witness.memory, live.p99, friend.good, friend.p99)
    trial.findings = _judge(trial, witness)
    if attacker.returncode:
        trial.findings.append("the attacker failed")
    return trial


def _judge(trial: Trial, witness: Witness) -> list[str]:
    findings = witness.died()
    for kind, most in MOST.items():
        if (megabytes := trial.memory.get(kind, 0)) > most:
            findings.append(f"{kind} had {megabytes:.0f} MB, above {most:.0f}")
    if trial.live_p99 > LIVE_P99:
        findings.append(f"/health/live took {1000 * trial.live_p99:.0f} ms")
    if trial.good < GOOD:
        faults = sorted(set(witness.friend.faults))[:3]
        findings.append(
            f"the friend had {100 * trial.good:.1f}% good answers: {faults}"
        )
    if trial.friend_p99 > FRIEND_P99:
        findings.append(f"the friend waited {1000 * trial.friend_p99:.0f} ms")
    return findings


def look_afterwards(stack: Stack, trial: Trial) -> None:
    """Ten seconds later: everything must work, and no memory may exceed its limit."""
    time.sleep(AFTERWARDS)
    faults = what_fails(stack)
    for kind, megabytes in weigh(stack).items():
        if megabytes > MOST.get(kind, megabytes):
            faults.append(f"{kind} still has {megabytes:.0f} MB")
    trial.afterwards = "; ".join(faults) or "recovered"
    trial.findings += faults


def what_fails(stack: Stack) -> list[str]:
    """What does not work now: health, a large body, a large answer."""
    try:
        return _unexpected(stack)
    except httpx2.TransportError as error:
        return [f"no answer: {type(error).__name__}"]


def _unexpected(stack: Stack) -> list[str]:
    faults = []
    with httpx2.Client(base_url=stack.url, timeout=10) as client:
        if client.get("/health").status_code != 200:
            faults.append("not healthy")
        large = payload('"' + "y" * 1_000_000 + '"')
        headers = {"Content-Type": "application/json"}
        status = client.post(PROCESS, content=large, headers=headers).status_code
        if status != 200:
            faults.append(f"a large body is answered {status}")
        if (status := client.get(RECORDS).status_code) != 200:
            faults.append(f"a page of large records is answered {status}")
    return faults
