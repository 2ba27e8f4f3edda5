"""The processes of this project: API, worker, beat, services."""

import os
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path

from local.servers.base import Command, Server
from local.state import LOCAL, State

ROOT = LOCAL.parent
BACKEND = ROOT / "backend"

# Celery's warning about root fills the screen at each start; here everything is
# private.
_CELERY = ["-W", "ignore:You're running the worker", "-m", "celery", "-A", "app.worker"]


class App(Server):
    """A Python process of ours; ready when it runs and `probe` succeeds.

    `env` comes from `environment()` and overrides the user's own variables.
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
    ) -> None:
        self.name = name
        super().__init__(state, port)
        self.arguments, self.cwd, self.env, self.probe = arguments, cwd, env, probe

    def command(self) -> Command:
        argv = [sys.executable, *self.arguments]
        return Command(argv, self.cwd, {**os.environ, **self.env})

    def ready(self) -> bool:
        return self.alive and self.probe()


def api(name: str, state: State, env: Mapping[str, str], port: int) -> App:
    """The HTTP API on its own port."""
    own = {**env, "API_HOST": "127.0.0.1", "API_PORT": str(port)}
    url = f"http://127.0.0.1:{port}/health/ready"
    return App(
        name,
        state,
        ["main.py"],
        cwd=BACKEND,
        env=own,
        port=port,
        probe=lambda: answers(url),
    )


def worker(state: State, env: Mapping[str, str], probe: Callable[[], bool]) -> App:
    """The Celery worker."""
    # It is alone, and searching for other workers takes a second at start.
    arguments = [*_CELERY, "worker", "--without-mingle", "--without-gossip"]
    arguments += ["--loglevel", "INFO"]
    return App("worker", state, arguments, cwd=BACKEND, env=env, probe=probe)


def beat(state: State, env: Mapping[str, str]) -> App:
    """Celery beat, the scheduler; one per deployment."""
    schedule = state.folder("beat") / "schedule"
    arguments = [*_CELERY, "beat", "--loglevel", "INFO", "--pidfile="]
    arguments += ["--schedule", str(schedule)]
    return App("beat", state, arguments, cwd=BACKEND, env=env)


def service(name: str, folder: Path, state: State, env: Mapping[str, str]) -> App:
    """One process of a service's folder."""
    return App(name, state, ["main.py"], cwd=folder, env=env)


def service_environment(
    folder: Path, env: Mapping[str, str], queues: Mapping[str, str]
) -> dict[str, str]:
    """The environment of a service, with its own QUEUE_NAME and SERVICE_NAME: for
    `services/pricing`, PRICING_QUEUE_NAME or the backend's name for it."""
    service = folder.name.removesuffix("service")
    named = env.get(f"{service.upper()}_QUEUE_NAME")
    queue = named or queues.get(service, f"{service}_queue")
    return {**env, "QUEUE_NAME": queue, "SERVICE_NAME": service}


def service_folders() -> list[Path]:
    """Each folder `services/*` with a `main.py`."""
    return [main.parent for main in sorted(ROOT.glob("services/*/main.py"))]


def answers(url: str, status: int = 200) -> bool:
    """Whether a GET returns this status within two seconds."""
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:
            return bool(answer.status == status)
    except urllib.error.HTTPError as error:
        return error.code == status
    except (OSError, ValueError):
        return False
