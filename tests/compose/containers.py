"""Docker Compose, as a person uses it: by its command."""

import json
import os
import shutil
import subprocess
from dataclasses import dataclass, field
from typing import Any
from urllib.request import Request, urlopen

import pytest
import yaml

from local.apps import ROOT
from local.ports import standard_or_free
from local.registry import registered
from tests.e2e.client import wait_for

# A separate project name, so that no other data is touched.
PROJECT = "fastapi-starter-test"

BASE = "docker-compose.yml"
SCALE = "deploy/compose/docker-compose.scale.yml"
DEV = "deploy/compose/docker-compose.dev.yml"
TLS = "docker-compose.tls.yml"
HA = "docker-compose.ha.yml"
BACKUP = "deploy/compose/docker-compose.backup.yml"

# Replaces the developer's .env.
DEFAULTS = "tests/compose/defaults.env"

# The images by their keys in the file.
SERVICES: dict[str, Any] = yaml.safe_load(
    (ROOT / BASE).read_text().replace("${CONTAINER_PREFIX:-}", "")
)["services"]

NEEDS_DATA = pytest.mark.skipif(
    "data" not in registered(), reason="the data service was taken out"
)

NAMES = "{{.Repository}}:{{.Tag}}"

BASIC = "Basic bW9uaXRvcmluZzp3ZWxjb21lMQ=="  # monitoring:welcome1

# The published ports, by the variable that sets each.
PORTS = {
    "GATEWAY_PORT": 8081,
    "API_HOST_PORT": 8000,
    "POSTGRES_HOST_PORT": 5432,
    "REDIS_HOST_PORT": 6379,
    "RABBITMQ_HOST_PORT": 5672,
    "RABBITMQ_MANAGEMENT_HOST_PORT": 15672,
    "OTEL_GRPC_HOST_PORT": 4317,
    "OTEL_HTTP_HOST_PORT": 4318,
}


def run(*command: str, env: dict[str, str] | None = None, check: bool = True) -> str:
    """Run a command and return its standard output; fails with all of its output."""
    result = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True)
    said = f"{' '.join(command)}\n{result.stdout}{result.stderr}"
    assert not check or result.returncode == 0, said
    return result.stdout.strip() if check else said


def compose_command() -> list[str]:
    """`docker compose` if it is installed, else docker-compose."""
    probe = ["docker", "compose", "version"]
    if subprocess.run(probe, capture_output=True).returncode == 0:
        return ["docker", "compose"]
    return ["docker-compose"]


def docker_answers() -> bool:
    """Whether there is a Docker daemon to use."""
    if shutil.which("docker") is None:
        return False
    return subprocess.run(["docker", "info"], capture_output=True).returncode == 0


@dataclass
class Compose:
    """The project's containers."""

    env: dict[str, str] = field(default_factory=dict)
    files: tuple[str, ...] = (BASE,)

    def __post_init__(self) -> None:
        free = {name: str(standard_or_free(port)) for name, port in PORTS.items()}
        keep = ("PATH", "HOME", "DOCKER_", "COMPOSE_", "BUILD_NETWORK", "PIP_", "CA_")
        own = {k: v for k, v in os.environ.items() if k.startswith(keep)}
        # `COPY --chmod` needs BuildKit, as in the Makefile.
        own = {"DOCKER_BUILDKIT": "1", "COMPOSE_DOCKER_CLI_BUILD": "1", **own}
        self.env = {**own, **free, "COMPOSE_PROJECT_NAME": PROJECT, **self.env}

    @property
    def command(self) -> list[str]:
        """The command up to Compose's own arguments."""
        options = [word for file in self.files for word in ("-f", file)]
        return [*compose_command(), "--env-file", DEFAULTS, *options]

    def __call__(self, *words: str, check: bool = True) -> str:
        return run(*self.command, *words, env=self.env, check=check)

    @property
    def url(self) -> str:
        """Address of the gateway."""
        return f"http://127.0.0.1:{self.env['GATEWAY_PORT']}"

    def ids(self, service: str) -> list[str]:
        """The containers of a service."""
        return self("ps", "-q", service).split()

    def up(self, *words: str, within: float = 60) -> None:
        """Start, and wait until everything that has a health check is healthy."""
        self("up", "-d", *words)
        for service in self("config", "--services").split():
            for container in self.ids(service):
                wait_for(lambda: healthy(container), f"health of {service}", within)


def inspect(container: str) -> dict[str, Any]:
    """Docker's data about a container."""
    found: dict[str, Any] = json.loads(run("docker", "inspect", container))[0]
    return found


def healthy(container: str) -> bool:
    """Whether it is running and healthy, or has ended well."""
    state = inspect(container)["State"]
    if state["Status"] == "exited":
        return bool(state["ExitCode"] == 0)
    health = state.get("Health", {"Status": "healthy"})["Status"]
    return bool(state["Status"] == "running" and health == "healthy")


def rabbitmq(compose: Compose, path: str) -> Any:
    """Get an answer of RabbitMQ's management API."""
    port = compose.env["RABBITMQ_MANAGEMENT_HOST_PORT"]
    url = f"http://127.0.0.1:{port}/api/{path}"
    with urlopen(Request(url, headers={"Authorization": BASIC}), timeout=10) as answer:
        return json.load(answer)


def kill(container: str) -> None:
    """Send SIGKILL to its first process, as an accident would. After `docker kill`,
    Docker would not restart it."""
    pid = inspect(container)["State"]["Pid"]
    command = ["docker", "run", "--rm", "--pid=host", "--user=0", "--entrypoint=sh"]
    run(*command, "fastapi-starter-api", "-c", f"kill -9 {pid}")


def size_above(image: str, base: str) -> float:
    """Megabytes that an image adds to its base; BuildKit does not record this."""
    if f"{base}\n" not in run("docker", "image", "ls", "--format", NAMES) + "\n":
        run("docker", "pull", "--quiet", base)
    sizes = [
        int(run("docker", "image", "inspect", "-f", "{{.Size}}", name))
        for name in (image, base)
    ]
    return (sizes[0] - sizes[1]) / 1e6
