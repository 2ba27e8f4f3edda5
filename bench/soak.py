"""`.venv/bin/python -m bench.soak --minutes 60`: does memory stay stable for hours?

Runs the whole stack behind nginx, with telemetry, at half of its measured full rate,
and prints each process's memory every minute. Exits with 1 if a process has grown.
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Iterator

import psutil

from bench.figures import Load
from bench.setting import Setting, open_setting, running, say
from bench.usage import MEGABYTE
from local.apps import ROOT
from local.ports import free_port
from local.process import ProcessFailed
from local.servers.otlp import TraceReceiver
from local.stack import Stack

CONNECTIONS = 32
FULL_SPEED = 30  # seconds
SETTLED = 5  # minutes: until then caches and pools fill
# The allowed growth between SETTLED minutes and the end.
GROWTH, MORE = 1.05, 4.0  # a factor, and megabytes

Memory = dict[str, float]


def main(arguments: list[str]) -> int:
    """Print the figures and return the exit code."""
    parser = argparse.ArgumentParser(prog="bench.soak")
    parser.add_argument("--minutes", type=int, default=60)
    minutes = parser.parse_args(arguments).minutes
    with open_setting(seconds=60, rounds=minutes) as setting:
        receiver = TraceReceiver(setting.state, free_port(), free_port())
        signals = {"OTEL_METRICS_EXPORTER": "otlp", "OTEL_LOGS_EXPORTER": "otlp"}
        env = {**receiver.environment, **signals, "OTEL_SDK_DISABLED": "false"}
        kit = setting.kit(env)
        with running([*kit.processes, receiver]):
            capacity = ask(kit, FULL_SPEED, 0).rate
            say(f"{capacity:,.0f} requests/s at full speed")
            seen = list(endure(setting, kit, capacity / 2))
    return report(seen)


def endure(setting: Setting, kit: Stack, rate: float) -> Iterator[Memory]:
    """The memory of each process after every minute of load."""
    for minute in range(1, setting.rounds + 1):
        load = ask(kit, setting.seconds, rate)
        memory = resident(kit)
        held = ", ".join(f"{name} {size:.1f}" for name, size in memory.items())
        say(
            f"{minute:>3} min: {load.rate:,.0f}/s, {load.failed} failed, "
            f"p50 {load.p50:.1f} ms, p99 {load.p99:.1f} ms; MB: {held}"
        )
        yield memory


def ask(kit: Stack, seconds: float, rate: float) -> Load:
    """Run one piece of load in a separate process."""
    command = [sys.executable, "-m", "bench.load_mixed", kit.url, str(CONNECTIONS)]
    command += [str(seconds), str(rate)]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if result.returncode:
        raise ProcessFailed(f"no load on {kit.url}:\n{result.stdout}{result.stderr}")
    return Load.from_json(result.stdout)


def resident(kit: Stack) -> Memory:
    """Resident megabytes of each of our processes; the worker's children have
    numbers."""
    found = {}
    for app in kit.processes:
        leader = psutil.Process(app.pid)
        family = enumerate([leader, *leader.children()])
        for number, process in family:
            name = f"{app.name} {number}" if number else app.name
            found[name] = process.memory_info().rss / MEGABYTE
    return found


def report(seen: list[Memory]) -> int:
    """Print the memory after the first minutes and at the end. Returns 1 if it has
    grown."""
    first, last = seen[min(SETTLED, len(seen)) - 1], seen[-1]
    grown = [name for name in first if last[name] > first[name] * GROWTH + MORE]
    print(json.dumps({name: [first[name], last[name]] for name in first}, indent=1))
    print(f"grown: {', '.join(grown) or 'none'}")
    return 1 if grown else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
