"""`run`: the whole stack in the foreground until Ctrl-C."""

import json
import os
import signal
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import FrameType

from local import certificates, debugging, install, ready, status
from local.apps import App
from local.env_file import misspelled
from local.process import Cancelled, ProcessFailed
from local.reload import watch_code, watch_settings
from local.servers.base import Server
from local.servers.issuer import Issuer, sites
from local.servers.otlp import TraceReceiver
from local.settings import from_file, ignored, merged
from local.stack import NO_NGINX, Servers, Stack, announced, each, migrate, stop_all
from local.state import LOCAL, AlreadyRunning, State
from local.supervisor import GaveUp, Supervisor
from local.terminal import Terminal
from local.tls import Tls
from local.traces import URL_FILE

ENVIRONMENT_FILE = "environment.json"  # what `migrate` needs while the stack runs

TWO_ISSUERS = (
    "AUTH_ISSUER is {}: the API takes the tokens of that provider, and --auth would\n"
    "start another one. Start without --auth, or remove AUTH_ISSUER from the "
    "environment\nand .env."
)


def run(
    path: Path = LOCAL / "run",
    *,
    traces: bool = False,
    reload: bool = False,
    debug: bool = False,
    auth: bool = False,
    tls: bool = False,
) -> int:
    """Run until stopped; 0 after Ctrl-C or SIGTERM, 1 after a failure.

    With `traces` our processes send theirs to a receiver that `make traces` shows,
    with `reload` they start again when their code or settings change, with `debug`
    each waits for a debugger, with `auth` the API needs tokens of an issuer that runs
    beside it, with `tls` all connections are encrypted and verified.
    """
    if auth and (named := merged().get("AUTH_ISSUER")):
        print(TWO_ISSUERS.format(named))
        return 1
    state = State(path, Tls() if tls else None)
    try:
        state.acquire()
    except AlreadyRunning as error:
        print(error)
        return 1
    launcher = Launcher(state, traces=traces, reload=reload, debug=debug, auth=auth)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, launcher.on_signal)
    try:
        return launcher.run()
    finally:
        state.release()


def environment(needed: Mapping[str, str]) -> dict[str, str]:
    """What our processes see: what the user has set, and what they need."""
    # They write to files, but these are shown on this terminal.
    return {"LOG_FORMAT": "text", **merged(), **needed}


class Launcher:
    """Start in order, watch, stop in order."""

    def __init__(
        self, state: State, *, traces: bool, reload: bool, debug: bool, auth: bool
    ) -> None:
        self.state = state
        self.traces = traces
        self.reload = reload
        self.debug = debug
        self.auth = auth
        self.terminal = Terminal()
        self._began = time.monotonic()
        self._needed: dict[str, str] = {}
        self._servers: list[Server] = []
        self._stack: Stack | None = None
        self._issuer: Issuer | None = None

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
        status.forget(self.state.path)
        for log in (self.state.path / "logs").glob("*.log"):
            log.replace(log.with_suffix(".log.previous"))
        say = self.terminal.say
        install.install_missing(say)
        if self.state.tls:
            install.install_for_tls(say)
            certificates.ensure(self.state.tls.folder, say)
        servers = Servers.create(self.state, say)
        api_port = announced("the API", 8000, say)
        nginx_port = announced("nginx", 8081, say)
        receiver = self._receiver() if self.traces else None
        if self.auth:
            pages = [*sites(nginx_port), *sites(api_port)]
            self._issuer = Issuer(self.state, announced("the issuer", 8082, say), pages)
        helpers = [each for each in (receiver, self._issuer) if each]
        self._servers = [*servers.own, *helpers]
        self._needed = self._necessary(servers, helpers)
        self._stack = stack = Stack.create(
            self.state,
            servers,
            environment(self._needed),
            api_ports=[api_port],
            nginx_port=nginx_port,
        )
        if self.debug:
            debugging.listen(stack, say)
        if stack.nginx is None:
            say(NO_NGINX)
        try:
            self._start_all(servers, stack)
        finally:
            self.terminal.end_progress()
        self.terminal.plain(self._summary(servers, stack))

    def _start_all(self, servers: Servers, stack: Stack) -> None:
        """Start the servers at once, migrating as soon as PostgreSQL is there; then our
        processes, at once too."""
        waiting = [server.name for server in [*self._servers, *stack.processes]]
        total, lock = len(waiting), threading.Lock()
        self.terminal.say(f"starting {', '.join(waiting)} ...")

        def start(server: Server) -> None:
            server.start()
            if server is servers.postgres:
                migrate(servers.environment())
            with lock:
                waiting.remove(server.name)
                latest, rest = f"{server.name} is up", ", ".join(waiting)
                self.terminal.progress(total - len(waiting), total, latest, rest)

        each(start, self._servers)
        for process in stack.processes:
            self.terminal.follow(process.name, process.child.log)
        each(start, stack.processes)

    def _receiver(self) -> TraceReceiver:
        say = self.terminal.say
        http, grpc = announced("OTLP/HTTP", 4318, say), announced("OTLP", 4317, say)
        receiver = TraceReceiver(self.state, grpc, http)
        receiver.note(self.state.path / URL_FILE)
        say("`make traces` in another terminal shows the last traces")
        return receiver

    def _necessary(
        self, servers: Servers, helpers: list[TraceReceiver | Issuer]
    ) -> dict[str, str]:
        """What our processes are told, whatever the user has set."""
        needed = servers.environment()
        file = self.state.path / ENVIRONMENT_FILE
        file.touch(mode=0o600)
        file.write_text(json.dumps(needed))
        for line in [*ignored(needed), *misspelled(from_file())]:
            self.terminal.say(line)
        for helper in helpers:
            needed |= helper.environment
        return needed | (debugging.PATIENCE if self.debug else {})

    def _watch(self) -> None:
        cancelled, stack = self.state.cancelled, self._stack
        assert stack is not None
        apps = [each for each in self._all() if isinstance(each, App) and self.reload]
        supervisor = Supervisor(self._all(), self.terminal.say, apps)
        watchers = list(self._watchers(apps, supervisor, stack))
        for watcher in watchers:
            watcher.start()
        if watchers:
            self.terminal.say("reloads on save: code, settings and requirements")
        try:
            supervisor.watch(cancelled)
        finally:
            cancelled.set()
            for watcher in watchers:
                watcher.join()
            supervisor.close()

    def _watchers(
        self, apps: list[App], supervisor: Supervisor, stack: Stack
    ) -> Iterator[threading.Thread]:
        if not apps:
            return

        def reread() -> None:
            stack.set_environment(environment(self._needed))
            supervisor.reload(apps)

        stopped, say = self.state.cancelled, self.terminal.say
        yield threading.Thread(target=watch_code, args=(apps, supervisor, stopped))
        yield threading.Thread(target=watch_settings, args=(reread, say, stopped))

    def _stop(self) -> None:
        self.state.cancelled.set()
        running = ", ".join(server.name for server in self._all() if server.alive)
        self.terminal.say(f"stopping {running or 'nothing'} ...")
        status.forget(self.state.path)
        if self._stack:
            self._stack.stop()
        stop_all(self._servers)
        self.terminal.say("stopped; the data stays until `make clean`")

    def _summary(self, servers: Servers, stack: Stack) -> str:
        parts = [status.describe(server) for server in self._all()]
        if servers.rabbitmq and not isinstance(servers.rabbitmq, Server):
            parts.append(status.describe_external(servers.rabbitmq))
        status.note(self.state.path, parts)
        return ready.summary(
            parts,
            stack.url,
            seconds=time.monotonic() - self._began,
            trust=f"--cacert {tls.ca} " if (tls := self.state.tls) else "",
            logs=self.state.path / "logs",
            colours=self.terminal.is_colourful,
            env=stack.env,
            issuer=self._issuer,
        )
