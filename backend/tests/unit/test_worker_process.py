"""The processes of the worker: what each of them opens, and what it closes again."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

BACKEND = Path(__file__).parents[2]

# In a process of its own: importing the worker configures logging and Celery.
SCRIPT = """
import json, os, sys, time
from types import SimpleNamespace
from celery import signals
from app import worker

def note(name, answer=None):
    def noted(*_, **__):
        done.append(name)
        if name == "open" and fails:
            raise OSError("no server")
        return answer
    return noted

worker.start_telemetry = note("start telemetry", answer=True)
worker.instrument_clients = note("instrument")
worker.open_worker_resources = note("open")
worker.leave_connections = note("leave those of the parent")
worker.close_worker_resources = note("close")
worker.stop_telemetry = note("stop telemetry")
os.kill, time.sleep = note("end the worker"), note("wait")
for name, pool, fails in json.loads(sys.argv[1]):
    done, signal = [], getattr(signals, name)
    try:
        for _, receive in signal.receivers:
            receive()(sender=SimpleNamespace(pool_cls=pool), signal=signal)
    except SystemExit:
        done.append("exit")
    print(json.dumps(done))
"""
OPENED = ["start telemetry", "instrument", "open"]
IN_CHILD = ["leave those of the parent", *OPENED]
CLOSED = ["close", "stop telemetry"]
CASES: list[tuple[str, str, bool, list[str]]] = [
    ("worker_init", "threads", False, OPENED),  # its threads share them
    ("worker_init", "prefork", False, []),  # each child has its own
    ("worker_process_init", "prefork", False, IN_CHILD),
    ("worker_process_shutdown", "prefork", False, CLOSED),
    ("worker_shutdown", "threads", False, CLOSED),
    # Without its connections, no process takes tasks. A child ends the whole worker:
    # the pool would replace it at once, for ever.
    ("worker_init", "threads", True, [*OPENED, "exit"]),
    (
        *("worker_process_init", "prefork", True),
        [*IN_CHILD, "end the worker", "wait", "exit"],
    ),
]


@pytest.fixture(scope="module")
def seen() -> list[Any]:
    """What the receivers of Celery's signals do, case by case."""
    cases = json.dumps([each[:3] for each in CASES])
    command = [sys.executable, "-c", SCRIPT, cases]
    done = subprocess.run(command, cwd=BACKEND, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines() if line[:1] == "["]


@pytest.mark.parametrize(
    "number", range(len(CASES)), ids=["-".join(map(str, each[:3])) for each in CASES]
)
def test_who_runs_tasks_has_connections_and_tells_of_them(
    seen: list[Any], number: int
) -> None:
    """Telemetry begins first and ends last: it is about all that is between."""
    assert seen[number] == CASES[number][3]
