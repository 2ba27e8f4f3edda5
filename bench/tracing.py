"""Part four: what tracing costs the whole path, at 10% and at 100%.

Three stacks on the same servers take turns under the same load, so that other work on
the machine affects all alike. Their collector accepts everything unread, because its
own work is not measured.
"""

import secrets
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from statistics import median
from typing import Any, NamedTuple

import psutil

from bench.load import post
from bench.setting import Setting, say
from local.otlp import grpc
from local.stack import Stack
from local.state import State

CONNECTIONS = 32
SECONDS = 3
ROUNDS = 9
OFF = "off"
# The lowest accepted share of the rate without tracing.
BOUNDS = {"10%": 0.70, "100%": 0.45}


class Sink(grpc.GenericRpcHandler):  # type: ignore[misc]
    """Accepts every export without reading it."""

    def service(self, _: Any) -> Any:
        return grpc.unary_unary_rpc_method_handler(self._take)

    def _take(self, _: bytes, __: Any) -> bytes:
        return b""


def variables(name: str, port: int) -> dict[str, str]:
    """The environment of one stack."""
    if name == OFF:
        return {"OTEL_SDK_DISABLED": "true"}
    return {
        "OTEL_SDK_DISABLED": "false",
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{port}",
        "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc",
        "OTEL_TRACES_SAMPLER": "parentbased_traceidratio",
        "OTEL_TRACES_SAMPLER_ARG": str(float(name.rstrip("%")) / 100),
    }


class Round(NamedTuple):
    """Requests per second, and processor time of our own processes for each."""

    rate: float
    cpu_ms: float


Results = dict[str, list[Round]]  # by the share of traces that is kept


def run(setting: Setting) -> Results:
    """Run each stack in turn, round by round."""
    server = grpc.server(ThreadPoolExecutor(2))
    server.add_generic_rpc_handlers([Sink()])
    port = server.add_insecure_port("127.0.0.1:0")
    with ExitStack() as exits:
        server.start()
        exits.callback(server.stop, None)
        stacks = {}
        for name in (OFF, *BOUNDS):
            folder = State(setting.state.path / f"tracing-{name.rstrip('%')}")
            folder.acquire()
            exits.callback(folder.release)
            env = variables(name, port)
            env["RABBITMQ_VHOST"] = setting.rabbitmq.create_vhost(secrets.token_hex(4))
            stack = setting.kit(env, folder)
            stack.relays.clear()  # one would work for all the stacks
            exits.callback(stack.stop)
            stack.start()
            stacks[name] = stack
        seen: Results = {name: [] for name in stacks}
        for number in range(ROUNDS + 1):
            for name, stack in stacks.items():
                one = _measure(stack)
                if number:  # the first round warms up
                    seen[name].append(one)
                    say(f"tracing {number}/{ROUNDS}  {name}: {one.rate:,.0f} req/s")
    return seen


def _measure(stack: Stack) -> Round:
    before = cpu_seconds(stack)
    load = post(f"{stack.url}/api/v1/data/process", CONNECTIONS, SECONDS)
    cpu = cpu_seconds(stack) - before
    assert load.failed == 0, load
    return Round(load.requests / load.seconds, cpu * 1000 / load.requests)


def shares(results: Results) -> dict[str, float]:
    """Each rate as a share of the rate without tracing, round by round: both of a pair
    ran on the machine in the same state."""
    return {
        name: median(
            one.rate / off.rate for one, off in zip(rounds, results[OFF], strict=True)
        )
        for name, rounds in results.items()
    }


def cpu_seconds(stack: Stack) -> float:
    """Processor time that API and services have used so far."""
    apps = [psutil.Process(app.pid) for app in [*stack.apis, *stack.services]]
    processes = [x for app in apps for x in [app, *app.children(recursive=True)]]
    times = [process.cpu_times() for process in processes]
    return sum(x.user + x.system for x in times)
