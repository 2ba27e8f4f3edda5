"""`run`: the whole stack in the foreground until Ctrl-C."""

import json
import os
import signal
import threading
import time
from pathlib import Path
from types import FrameType

from dotenv import dotenv_values

from local import install
from local.apps import ROOT, App
from local.env_file import misspelled
from local.process import Cancelled, ProcessFailed
from local.registry import registered
from local.reload import watch_code
from local.servers.base import Server
from local.servers.otlp import TraceReceiver
from local.stack import NO_NGINX, Servers, Stack, announced, each, migrate, stop_all
from local.state import LOCAL, AlreadyRunning, State
from local.supervisor import GaveUp, Supervisor
from local.terminal import Terminal
from local.traces import PORT_FILE

ENVIRONMENT_FILE = "environment.json"  # what `migrate` needs while the stack runs

READY = """
Ready in {seconds:.1f} s.

  Gateway       {url}
  API           {api}
  Swagger UI    {url}/api/v1/docs
  ReDoc         {url}/api/v1/redoc
  RabbitMQ      {rabbitmq}
  PostgreSQL    {postgres}
  Redis         {redis}, for keys {redis_keys}
  Logs          {logs}

Try it:

  curl -s {url}{example}

Ctrl-C stops everything.
"""
WITH_DATA = """/api/v1/data/process -H 'Content-Type: application/json' \\
       -d '{"payload": "hello world", "description": "uppercase"}'"""


def run(
    path: Path = LOCAL / "run", *, traces: bool = False, reload: bool = False
) -> int:
    """Run until stopped; 0 after Ctrl-C or SIGTERM, 1 after a failure.

    With `traces` our processes send theirs to a receiver that `make traces` shows,
    with `reload` they start again when their code changes.
    """
    state = State(path)
    try:
        state.acquire()
    except AlreadyRunning as error:
        print(error)
        return 1
    launcher = Launcher(state, traces, reload)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, launcher.on_signal)
    try:
        return launcher.run()
    finally:
        state.release()


class Launcher:
    """Start in order, watch, stop in order."""

    def __init__(self, state: State, traces: bool, reload: bool) -> None:
        self.state = state
        self.traces = traces
        self.reload = reload
        self.terminal = Terminal()
        self._began = time.monotonic()
        self._servers: list[Server] = []
        self._stack: Stack | None = None

    def on_signal(self, _number: int, _frame: FrameType | None) -> None:
        """The first asks for an orderly stop, the second kills everything."""
        if not self.state.cancelled.is_set():
            self.state.cancelled.set()
            return
        # Not by way of the servers: the code that this interrupts may hold their locks.
        self.state.release()
        os._exit(130)

    def run(self) -> int:
        """Start, watch, stop; the exit code."""
        failure: str | None = None
        try:
            self._start()
            self._watch()
        except (ProcessFailed, GaveUp) as error:
            failure = str(error)
        except Cancelled:
            pass
        self._stop()
        if failure:
            self.terminal.say(failure)
        self.terminal.close()
        return 1 if failure else 0

    def _all(self) -> list[Server]:
        return [*(self._stack.processes if self._stack else []), *self._servers]

    def _start(self) -> None:
        for log in (self.state.path / "logs").glob("*.log"):
            log.replace(log.with_suffix(".log.previous"))
        say = self.terminal.say
        install.install_missing(say)
        servers = Servers.create(self.state, say)
        receiver = self._receiver() if self.traces else None
        self._servers = [*servers.own, *([receiver] if receiver else [])]
        self._stack = stack = Stack.create(
            self.state,
            servers,
            self._settings(servers) | (receiver.environment if receiver else {}),
            api_ports=[announced("the API", 8000, say)],
            nginx_port=announced("nginx", 8081, say),
        )
        if stack.nginx is None:
            say(NO_NGINX)
        self._start_servers(servers)
        for process in stack.processes:
            self.terminal.follow(process.name, process.child.log)
        stack.start()
        self.terminal.plain(self._summary(servers, stack))

    def _start_servers(self, servers: Servers) -> None:
        """Start all at once; migrate as soon as PostgreSQL is there."""
        names = ", ".join(server.name for server in self._servers)
        self.terminal.say(f"starting {names} ...")

        def start(server: Server) -> None:
            server.start()
            if server is servers.postgres:
                migrate(servers.environment())

        each(start, self._servers)

    def _receiver(self) -> TraceReceiver:
        say = self.terminal.say
        http, grpc = announced("OTLP/HTTP", 4318, say), announced("OTLP", 4317, say)
        (self.state.path / PORT_FILE).write_text(str(http))
        say("`make traces` in another terminal shows the last traces")
        return TraceReceiver(self.state, grpc, http)

    def _settings(self, servers: Servers) -> dict[str, str]:
        """`.env` for those that do not read it, under what the servers need."""
        file = os.environ.get("ENV_FILE") or ROOT / ".env"
        own = {key: value or "" for key, value in dotenv_values(file).items()}
        for line in misspelled(own):
            self.terminal.say(f"{file}: {line}")
        needed = servers.environment()
        note = self.state.path / ENVIRONMENT_FILE
        note.touch(mode=0o600)
        note.write_text(json.dumps(needed))
        # Our processes write to files, but these are shown on this terminal.
        return {"LOG_FORMAT": "text", **own, **os.environ, **needed}

    def _watch(self) -> None:
        cancelled = self.state.cancelled
        apps = [each for each in self._all() if isinstance(each, App) and self.reload]
        supervisor = Supervisor(self._all(), self.terminal.say, apps)
        reloading = threading.Thread(
            target=watch_code, args=(apps, supervisor, cancelled)
        )
        if apps:
            reloading.start()
            self.terminal.say("saved changes of the code are taken over at once")
        try:
            supervisor.watch(cancelled)
        finally:
            cancelled.set()
            if apps:
                reloading.join()
            supervisor.close()

    def _stop(self) -> None:
        self.state.cancelled.set()
        self.terminal.say("stopping ...")
        if self._stack:
            self._stack.stop()
        stop_all(self._servers)
        self.terminal.say("stopped")

    def _summary(self, servers: Servers, stack: Stack) -> str:
        broker = servers.rabbitmq
        return READY.format(
            seconds=time.monotonic() - self._began,
            url=stack.url,
            example=WITH_DATA if "data" in registered() else "/health",
            api=stack.api_url,
            rabbitmq=(
                f"{broker.management_url} ({broker.user} / {broker.password})"
                if broker
                else "none; RPC goes over Redis"
            ),
            postgres=servers.postgres.url().replace("+psycopg2", ""),
            redis=servers.redis.url(),
            redis_keys=servers.redis_keys.url(),
            logs=self.state.path / "logs",
        )
