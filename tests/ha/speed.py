"""The speed of the lab beside one of each server: `make ha ARGS=--speed`."""

import secrets
from collections.abc import Callable
from statistics import median

import uvloop

from local.ports import free_port
from local.process import ProcessFailed
from local.servers.postgres import PostgreSQL
from local.servers.rabbitmq import RabbitMQ
from local.servers.redis import KeysRedis, Redis
from local.stack import Servers, Stack, migrate, start_all, stop_all
from local.state import LOCAL, State
from tests.e2e.client import PROCESS, PROCESS_ASYNC
from tests.ha.system import ENVIRONMENT, System

ROUNDS, SECONDS, CONNECTIONS = 3, 8.0, 16
KINDS = {"synchronous": PROCESS, "asynchronous": PROCESS_ASYNC}


def compare(state: State, say: Callable[[str], None]) -> None:
    """Measure one, then the other: the rates of successes, and their ratio."""
    with System.prepare(state, say) as system:
        lab = _measure(system.nginx.url)
    single = _with_single_servers()
    for kind in KINDS:
        share = 100 * lab[kind] / single[kind]
        say(f"{kind}: {lab[kind]:.0f}/s, {single[kind]:.0f}/s, {share:.0f}%")


def _measure(url: str) -> dict[str, float]:
    # Only here: a team may have deleted the benchmarks.
    from bench.load_asyncio import post

    def rate(path: str) -> float:
        loads = [
            uvloop.run(post(f"{url}{path}", CONNECTIONS, SECONDS))
            for _ in range(ROUNDS)
        ]
        return median(load.rate for load in loads)

    return {kind: rate(path) for kind, path in KINDS.items()}


def _with_single_servers() -> dict[str, float]:
    """The same processes of ours, over one of each server."""
    state = State(LOCAL / f"ha-single-{secrets.token_hex(3)}")
    state.acquire()
    servers = Servers(
        PostgreSQL(state, free_port()),
        Redis(state, free_port()),
        KeysRedis(state, free_port()),
        RabbitMQ(state, free_port(), free_port()),
    )
    stack = Stack.create(
        state,
        servers,
        ENVIRONMENT,
        api_ports=[free_port(), free_port()],
        nginx_port=free_port(),
        instances=2,
    )
    if stack.nginx is None:
        raise ProcessFailed("this needs nginx on this machine")
    stack.worker.arguments += ["--concurrency", "4"]  # as two workers have
    try:
        start_all(servers.own)
        migrate(stack.env)
        stack.start()
        return _measure(stack.nginx.url)
    finally:
        stack.stop()
        stop_all(servers.own)
        state.release(remove=True)
