"""The servers of a run, and the processes of each contender on them."""

import secrets
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from local import install
from local.apps import ROOT, App, answers
from local.ports import free_port
from local.process import ProcessFailed
from local.servers.base import Server
from local.servers.postgres import PostgreSQL
from local.servers.rabbitmq import RabbitMQ, find_script
from local.servers.redis import KeysRedis, Redis
from local.stack import Servers, Stack, migrate, start_all, stop_all
from local.state import LOCAL, State, remove_abandoned

PEERS = "peers"  # name of the peers' database


@dataclass
class Setting:
    """Private servers, and the options of a run."""

    state: State
    servers: Servers
    rabbitmq: RabbitMQ
    seconds: int
    rounds: int

    @property
    def peer_environment(self) -> dict[str, str]:
        """The peers' variables with the addresses of the servers."""
        url = self.servers.postgres.url(PEERS).replace("+psycopg2", "+asyncpg")
        return {"PEER_DATABASE_URL": url, "PEER_AMQP_URL": self.rabbitmq.url()}

    def peer(self, name: str, module: str, **env: str) -> App:
        """A peer's process without a port."""
        arguments = ["-m", *module.split()]
        environment = {**self.peer_environment, **env}
        return App(name, self.state, arguments, cwd=ROOT, env=environment)

    def peer_api(self, name: str, module: str, **env: str) -> App:
        """A peer's HTTP API, one process of uvicorn without access log."""
        port = free_port()
        app = self.peer(name, f"uvicorn {module}:app --port {port}", **env)
        app.arguments += ["--no-access-log", "--log-level", "warning"]
        app.port, app.probe = port, lambda: answers(f"{base_url(app)}/openapi.json")
        return app

    def kit(
        self, env: Mapping[str, str] | None = None, state: State | None = None
    ) -> Stack:
        """The kit's processes: one of each, and nginx if it is installed.

        Tracing is off, and so is the access log, as it is for the peers, unless `env`
        says otherwise. Stacks side by side have a `state` each.
        """
        return Stack.create(
            state or self.state,
            self.servers,
            {"OTEL_SDK_DISABLED": "true", "LOG_LEVEL": "WARNING", **(env or {})},
            api_ports=[free_port()],
            nginx_port=free_port(),
        )


def base_url(app: Server) -> str:
    """Address of a process that serves HTTP."""
    return f"http://127.0.0.1:{app.port}"


@contextmanager
def open_setting(seconds: int, rounds: int) -> Iterator[Setting]:
    """Start PostgreSQL (with fsync), Redis and RabbitMQ; stop and remove them at the
    end.

    Raises ProcessFailed where there is no RabbitMQ.
    """
    install.install_missing(say)
    if find_script() is None:
        raise ProcessFailed("the benchmark needs rabbitmq-server on this machine")
    remove_abandoned("bench-")
    state = State(LOCAL / f"bench-{secrets.token_hex(3)}")
    state.acquire()
    rabbitmq = RabbitMQ(state, free_port(), free_port())
    servers = Servers(
        PostgreSQL(state, free_port()),
        Redis(state, free_port()),
        KeysRedis(state, free_port()),
        rabbitmq,
    )
    try:
        start_all(servers.own)
        servers.postgres.create_database(PEERS)
        migrate(servers.environment())
        yield Setting(state, servers, rabbitmq, seconds, rounds)
    finally:
        stop_all(servers.own)
        state.release(remove=True)


@contextmanager
def running(processes: list[Server]) -> Iterator[None]:
    """Start all, and stop them one after another in the same order."""
    try:
        start_all(processes)
        yield
    except ProcessFailed:
        for process in processes:
            if not process.alive:
                say(str(process.child.failure("ended too early")))
        raise
    finally:
        for process in processes:
            process.stop()


def say(text: str) -> None:
    """Print progress to standard error; the report goes to standard output."""
    print(text, file=sys.stderr, flush=True)
