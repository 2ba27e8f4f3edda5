"""The speed of the lab beside one of each server: `make ha ARGS=--speed`."""

import secrets
import time
from collections.abc import Callable
from statistics import median

import uvloop

from local.ha.lab import Lab
from local.ports import free_port
from local.process import ProcessFailed
from local.servers.postgres import PostgreSQL
from local.servers.rabbitmq import RabbitMQ
from local.servers.redis import KeysRedis, Redis
from local.stack import Servers, Stack, migrate, start_all, stop_all
from local.state import LOCAL, State
from tests.chaos.stored import Database, unfinished
from tests.e2e.client import PROCESS, PROCESS_ASYNC, wait_for

# Not the short clocks of the faults: with them, works are sent again too early.
ENVIRONMENT = {"OTEL_SDK_DISABLED": "true", "LOG_FORMAT": "json"}
ROUNDS, SECONDS, CONNECTIONS = 3, 8.0, 16
DRAIN = 60.0  # seconds until the workers have done what they were sent
KINDS = {"synchronous": PROCESS, "asynchronous": PROCESS_ASYNC}


def compare(state: State, say: Callable[[str], None]) -> None:
    """Measure one, then the other: works done in a second, and their ratio."""
    with Lab.create(state, ENVIRONMENT, say) as lab:
        replicated = _measure(lab.nginx.url, lab.clusters.postgres)
    single = _with_single_servers()
    for kind in KINDS:
        share = 100 * replicated[kind] / single[kind]
        say(f"{kind}: {replicated[kind]:.0f}/s, {single[kind]:.0f}/s, {share:.0f}%")


def _measure(url: str, postgres: Database) -> dict[str, float]:
    # Only here: a team may have deleted the benchmarks.
    from bench.load_asyncio import post

    def rate(path: str) -> float:
        """Of works that have ended: workers may be behind the API."""
        began = time.monotonic()
        load = uvloop.run(post(f"{url}{path}", CONNECTIONS, SECONDS))
        wait_for(lambda: unfinished(postgres) == 0, "the end of all work", DRAIN)
        return (load.requests - load.failed) / (time.monotonic() - began)

    return {
        kind: median(rate(path) for _ in range(ROUNDS)) for kind, path in KINDS.items()
    }


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
        return _measure(stack.nginx.url, servers.postgres)
    finally:
        stack.stop()
        stop_all(servers.own)
        state.release(remove=True)
