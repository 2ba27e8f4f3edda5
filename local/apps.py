"""The processes of this project: API, worker, beat, event relay, services."""

import os
import sys
import tomllib
import urllib.error
from collections.abc import Callable, Mapping
from pathlib import Path

from local import ports
from local.servers.base import Command, Server
from local.state import LOCAL, State
from local.tls import Tls, open_url, scheme

ROOT = LOCAL.parent
BACKEND = ROOT / "backend"

# Celery's advice against root fills the screen at each start; here all is private.
_CELERY_OPTIONS = ("-W", "ignore:You're running the worker")
_CELERY = ["-m", "celery", "-A", "app.worker"]

# Lines of Python's own modules would be missed: https://github.com/microsoft/debugpy
_DEBUGGER_OPTIONS = ("-X", "frozen_modules=off")


class App(Server):
    """A Python process of ours; ready when it runs and `probe` succeeds.

    `env` comes from `environment()` and wins over the user's own variables; `options`
    are Python's own. With a `debug_port` it waits there for a debugger, and works
    meanwhile.
    """

    stop_timeout = 15.0

    def __init__(
        self,
        name: str,
        state: State,
        arguments: list[str],
        *,
        cwd: Path,
        env: Mapping[str, str],
        probe: Callable[[], bool] = lambda: True,
        port: int = 0,
        options: tuple[str, ...] = (),
    ) -> None:
        self.name = name
        super().__init__(state, port)
        self.arguments, self.cwd, self.env, self.probe = arguments, cwd, env, probe
        self.options = options
        self.debug_port = 0

    @property
    def address(self) -> str:
        own = f"{scheme(self.state.tls)}://{ports.at(self.port)}"
        debugger = [f"debugger: port {self.debug_port}"] if self.debug_port else []
        return ", ".join([*([own] if self.port else []), *debugger])

    def version(self) -> str:
        project = tomllib.loads((self.cwd / "pyproject.toml").read_text())
        return str(project["project"]["version"])

    def command(self) -> Command:
        argv = [sys.executable, *self.options]
        if self.debug_port:
            listen = ports.at(self.debug_port)
            argv += [*_DEBUGGER_OPTIONS, "-m", "debugpy", "--listen", listen]
        environment = {**os.environ, **self.env}
        return Command([*argv, *self.arguments], self.cwd, environment)

    def ready(self) -> bool:
        # Asked afterwards: one that dies meanwhile waits at no queue, and need not.
        return self.probe() and self.alive


class Service(App):
    """A service; ready when everything that it consumes is connected, requests or
    events."""

    @property
    def heartbeat(self) -> Path:
        """The file that it touches."""
        return self.folder / "heartbeat"

    @property
    def connected(self) -> Path:
        """The file that says whether it is connected."""
        return self.heartbeat.with_suffix(".connected")

    def command(self) -> Command:
        self.connected.unlink(missing_ok=True)  # a killed process leaves it
        own = super().command()
        return own._replace(env={**own.env, "HEARTBEAT_FILE": str(self.heartbeat)})

    def ready(self) -> bool:
        return self.connected.exists() and super().ready()


def api(name: str, state: State, env: Mapping[str, str], port: int) -> App:
    """The HTTP API on a port of its own."""
    own = api_environment(env, port)
    url = f"{scheme(state.tls)}://{ports.at(port)}/health/ready"
    return App(
        name,
        state,
        ["main.py"],
        cwd=BACKEND,
        env=own,
        port=port,
        probe=lambda: answers(url, tls=state.tls),
    )


def api_environment(env: Mapping[str, str], port: int) -> dict[str, str]:
    """The environment of an API process: only this machine reaches it."""
    return {**env, "API_HOST": ports.LOOPBACK, "API_PORT": str(port)}


def worker(
    state: State,
    env: Mapping[str, str],
    probe: Callable[[], bool],
    *,
    name: str = "worker",
) -> App:
    """The Celery worker."""
    # It is alone, and searching for other workers takes a second at start.
    arguments = [*_CELERY, "worker", "--without-mingle", "--without-gossip"]
    arguments += ["--without-heartbeat", "--loglevel", "INFO"]
    return App(
        name,
        state,
        arguments,
        cwd=BACKEND,
        env=env,
        probe=probe,
        options=_CELERY_OPTIONS,
    )


def beat(state: State, env: Mapping[str, str], *, name: str = "beat") -> App:
    """Celery beat, the scheduler; of several, one is active."""
    arguments = [*_CELERY, "beat", "--loglevel", "INFO", "--pidfile="]
    return App(name, state, arguments, cwd=BACKEND, env=env, options=_CELERY_OPTIONS)


def event_relay(name: str, state: State, env: Mapping[str, str]) -> App:
    """The relay, which publishes events to RabbitMQ; of several, one is active."""
    return App(name, state, ["-m", "app.relay"], cwd=BACKEND, env=env)


def service(name: str, folder: Path, state: State, env: Mapping[str, str]) -> Service:
    """One process of a service's folder."""
    return Service(name, state, ["main.py"], cwd=folder, env=env)


def service_environment(
    folder: Path, env: Mapping[str, str], queues: Mapping[str, str]
) -> dict[str, str]:
    """The environment of a service, with its own QUEUE_NAME and SERVICE_NAME: for
    `services/pricing`, PRICING_QUEUE_NAME or the backend's name for it. If it receives
    events, it makes its own schema in the database."""
    service = folder.name.removesuffix("service")
    named = env.get(f"{service.upper()}_QUEUE_NAME")
    queue = named or queues.get(service, f"{service}_queue")
    own = {"QUEUE_NAME": queue, "SERVICE_NAME": service}
    if owner := env.get("MIGRATIONS_DATABASE_URL"):
        own["EVENTS_DATABASE_URL"] = owner
    return {**env, **own}


def service_folders() -> list[Path]:
    """Each folder `services/*` with a `main.py`."""
    return [main.parent for main in sorted(ROOT.glob("services/*/main.py"))]


def answers(url: str, status: int = 200, tls: Tls | None = None) -> bool:
    """Whether a GET returns this status within two seconds."""
    try:
        with open_url(url, 2, tls) as answer:
            return bool(answer.status == status)
    except urllib.error.HTTPError as error:
        return error.code == status
    except (OSError, ValueError):
        return False
