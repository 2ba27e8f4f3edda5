"""Compose and Kubernetes run the same."""

import re

import pytest
import yaml

from tests.unit.kubernetes.manifests import ROOT, SERVICES, Object, workload

COMPOSE = ROOT / "docker-compose.yml"

# Container names, less that of a project, and the workloads that run the same.
CONTAINERS = {
    "fastapi-api": "fastapi-api",
    "fastapi-celery-worker": "fastapi-celery-worker",
    **{name: name for name in SERVICES},
    "rabbitmq-service": "rabbitmq",
    "redis": "redis",
    "redis-keys": "redis-keys",
    "postgres": "postgres",
}
# Images of others: the same version everywhere.
FOREIGN = ("redis", "redis-keys", "postgres", "nginx", "otel-collector")
# Containers that the brief does not name.
MORE = (
    *("nginx", "fastapi-celery-beat", "fastapi-event-relay", "fastapi-migrations"),
    "otel-collector",
)
# What compose and Kubernetes must say alike where both say something.
SAME = (
    *("QUEUE_NAME", "RABBITMQ_HOST", "RABBITMQ_PORT", "API_PORT"),
    *("CELERY_HEARTBEAT_FILE", "HEARTBEAT_FILE", "OTEL_EXPORTER_OTLP_ENDPOINT"),
    "EVENTS_RELAY_HEARTBEAT_FILE",
    *("NGINX_PORT", "POSTGRES_DB", "POSTGRES_USER"),
)


@pytest.mark.skipif(not COMPOSE.exists(), reason="there is no docker-compose.yml")
def test_compose_runs_the_same() -> None:
    text = COMPOSE.read_text().replace("${CONTAINER_PREFIX:-}", "")
    services = yaml.safe_load(text)["services"]
    by_container = {_plain(each["container_name"]): each for each in services.values()}
    also = {name: name for name in MORE if _plain(name) in by_container}
    for container, name in {**CONTAINERS, **also}.items():
        service, own = by_container[_plain(container)], workload(name, "development")
        # Ours have a version of their own, that the tag tells.
        ours, tag = own.main["image"].rpartition("/")[2].split(":")
        assert _image(service).partition(":")[0] == ours
        if name not in (*FOREIGN, "rabbitmq"):
            command = service.get("command", ["python", "main.py"])
            assert _words(own.main["args"]) == _words(command), name
        if name in FOREIGN:
            assert _image(service) == f"{ours}:{tag}"
        theirs, given = _compose_environment(service), own.environment()
        for variable in SAME:
            said = re.sub(r"^\$\{\w+:?-(.*)\}$", r"\1", theirs.get(variable, ""))
            if said and variable in given:
                assert said == given[variable], (container, variable)


def _words(command: list[str]) -> list[str]:
    """`--level=INFO` and `--level INFO` mean the same; so does any order of options."""
    return sorted(" ".join(command).replace("=", " ").split())


def _plain(name: str) -> str:
    return name.removeprefix("fastapi-starter-")


def _image(service: Object) -> str:
    """The image's name and tag, without registry and digest."""
    image = re.sub(r"\$\{\w+:?-?(.*?)\}", r"\1", str(service["image"]))
    return image.partition("@")[0].rpartition("/")[2]


def _compose_environment(service: Object) -> dict[str, str]:
    """Compose takes a list of NAME=value or a mapping."""
    given = service.get("environment", {})
    if isinstance(given, list):
        given = dict(each.partition("=")[::2] for each in given)
    return {name: "" if value is None else str(value) for name, value in given.items()}
