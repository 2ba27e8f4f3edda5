"""`python -m bench.tracing`: what tracing costs the whole path, at 10% and at 100%.

Three stacks over the same servers take turns under the same load, so that what else
the machine does meets all of them. Their collector takes everything and looks at
nothing: its own work is not what is measured.
"""

import os
import secrets
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from statistics import median
from typing import Any, NamedTuple

import psutil

from bench.load import post
from local.otlp import grpc
from local.ports import free_port
from local.servers.postgres import PostgreSQL
from local.servers.rabbitmq import RabbitMQ
from local.servers.redis import Redis
from local.stack import Servers, Stack, migrate, start_all, stop_all
from local.state import LOCAL, State

CONNECTIONS = 32
SECONDS = 3
ROUNDS = 9
TARGETS = {"off": 1.0, "10%": 0.85, "100%": 0.6}


class Sink(grpc.GenericRpcHandler):  # type: ignore[misc]
    """Answers every export, unread."""

    def __init__(self) -> None:
        self.bytes = 0

    def service(self, _: Any) -> Any:
        return grpc.unary_unary_rpc_method_handler(self._take)

    def _take(self, request: bytes, _: Any) -> bytes:
        self.bytes += len(request)
        return b""


def variables(name: str, port: int) -> dict[str, str]:
    """The environment of one stack."""
    if name == "off":
        return {"OTEL_SDK_DISABLED": "true"}
    return {
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{port}",
        "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc",
        "OTEL_TRACES_SAMPLER": "parentbased_traceidratio",
        "OTEL_TRACES_SAMPLER_ARG": str(float(name.rstrip("%")) / 100),
    }


class Round(NamedTuple):
    """Requests per second, and processor time of our own processes for each."""

    rate: float
    cpu_ms: float


def measure(seconds: int = SECONDS, rounds: int = ROUNDS) -> dict[str, list[Round]]:
    """What each stack did, by rounds."""
    sink = Sink()
    server = grpc.server(ThreadPoolExecutor(2))
    server.add_generic_rpc_handlers([sink])
    port = server.add_insecure_port("127.0.0.1:0")
    with ExitStack() as exits:
        state = State(LOCAL / f"bench-tracing-{os.getpid()}")
        state.acquire()
        exits.callback(state.release, remove=True)
        rabbitmq = RabbitMQ(state, free_port(), free_port())
        servers = Servers(
            PostgreSQL(state, free_port()), Redis(state, free_port()), rabbitmq
        )
        exits.callback(stop_all, servers.own)
        start_all(servers.own)
        server.start()
        exits.callback(server.stop, None)
        stacks = {}
        for name in TARGETS:
            env = variables(name, port)
            env["RABBITMQ_VHOST"] = rabbitmq.create_vhost(secrets.token_hex(4))
            folder = State(state.path / name.rstrip("%"))
            folder.acquire()
            stack = Stack.create(
                folder, servers, env, api_ports=[free_port()], nginx_port=free_port()
            )
            migrate(stack.env)
            exits.callback(stack.stop)
            stack.start()
            stacks[name] = stack
        seen: dict[str, list[Round]] = {name: [] for name in TARGETS}
        for number in range(rounds + 1):
            for name, stack in stacks.items():
                before = cpu_seconds(stack)
                load = post(f"{stack.url}/api/v1/data/process", CONNECTIONS, seconds)
                cpu = cpu_seconds(stack) - before
                assert load.failed == 0, load
                if number:  # the first warms up
                    rate = load.requests / load.seconds
                    seen[name].append(Round(rate, cpu * 1000 / load.requests))
    return seen


def cpu_seconds(stack: Stack) -> float:
    """Processor time that API and services have used so far."""
    apps = [psutil.Process(app.pid) for app in [*stack.apis, *stack.services]]
    processes = [x for app in apps for x in [app, *app.children(recursive=True)]]
    times = [process.cpu_times() for process in processes]
    return sum(x.user + x.system for x in times)


def main() -> int:
    """Print the figures; 1 if a target is missed."""
    seen = measure()
    missed = 0
    for name, target in TARGETS.items():
        # Round by round: both numbers of a pair met the same machine.
        pairs = zip(seen[name], seen["off"], strict=True)
        share = median(one.rate / off.rate for one, off in pairs)
        missed += share < target
        print(
            f"tracing {name:>4}: {median(x.rate for x in seen[name]):6.0f} requests/s, "
            f"{median(x.cpu_ms for x in seen[name]):.2f} ms of processor each, "
            f"{share:4.0%} of off (target {target:.0%})"
        )
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
