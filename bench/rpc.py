"""Part one: remote calls alone."""

import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass

from bench.figures import Load, Sample
from bench.setting import Setting, running, say
from local.apps import BACKEND, ROOT
from local.process import ProcessFailed

IN_FLIGHT = (64, 1)


@dataclass(frozen=True)
class Client:
    """A calling process."""

    label: str
    module: str
    env: Mapping[str, str]


# The rounds, by label and calls in flight.
Results = dict[str, dict[int, list[Sample]]]


def run(setting: Setting) -> Results:
    """Run every client in turn, round by round."""
    responders = [
        setting.kit().service("dataservice"),
        setting.peer("responder-faststream", "bench.peers.responder_faststream"),
    ]
    clients = _clients(setting)
    rounds: Results = {
        client.label: {calls: [] for calls in IN_FLIGHT} for client in clients
    }
    with running([*responders]):
        for number in range(1, setting.rounds + 1):
            for client in clients:
                for calls in IN_FLIGHT:
                    sample = Sample.of(_measure(client, calls, setting.seconds))
                    rounds[client.label][calls].append(sample)
                    say(
                        f"rpc {number}/{setting.rounds}  {client.label}, {calls} in "
                        f"flight: {sample.rate:,.0f} calls/s, p50 {sample.p50:.2f} ms"
                    )
    return rounds


QUORUM = "kit, quorum queue"
FASTSTREAM = "FastStream"


def _clients(setting: Setting) -> list[Client]:
    kit = {**setting.servers.environment(), "PYTHONPATH": str(BACKEND)}
    peer = setting.peer_environment
    return [
        Client(QUORUM, "kit", kit),
        Client(FASTSTREAM, "with_faststream", peer),
    ]


def _measure(client: Client, calls: int, seconds: int) -> Load:
    command = [sys.executable, "-m", f"bench.rpc_clients.{client.module}"]
    result = subprocess.run(
        [*command, str(calls), str(seconds)],
        cwd=ROOT,
        env={**os.environ, **client.env},
        capture_output=True,
        text=True,
    )
    if result.returncode:
        raise ProcessFailed(f"{client.label} failed:\n{result.stderr[-3000:]}")
    return Load.from_json(result.stdout)
