"""Manifests, settings, nginx, compose and the other files name the same things."""

import json
import os
import re
import subprocess
import sys
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest
import yaml
from dotenv import dotenv_values

from chassis.events.topology import API_PERMISSIONS
from tests.unit.kubernetes.manifests import (
    OVERLAYS,
    ROOT,
    SERVICES,
    Object,
    of_kind,
    one,
    selects,
    workload,
    workloads,
)

BACKEND = (
    *("fastapi-api", "fastapi-celery-worker", "fastapi-celery-beat"),
    "fastapi-event-relay",
)
EXAMPLE = {
    found[1]
    for found in re.finditer(
        r"^#? ?([A-Z][A-Z0-9_]+)=", (ROOT / ".env.example").read_text(), re.MULTILINE
    )
}

# What a container has before its variables; no .env.
BARE = {name: os.environ[name] for name in ("PATH", "ENV_FILE")}

# Read by probes, not by a process.
FOR_PROBES = {"REDIS_PORT"}
SECRETS = {
    "rabbitmq-password": "of-your-own",
    "rabbitmq-monitoring-password": "of-your-own-too",
    "database-url": "postgresql+psycopg2://fastapi:of-your-own@pg:5432/" "fastapi_db",
    "redis-url": "redis://:of-your-own@redis:6379/0",
    "redis-keys-url": "redis://:of-your-own@redis-keys:6379/0",
    "events-database-url": "postgresql+psycopg2://its:own@pg/fastapi_db",
}


# The users of RabbitMQ that services have.
USERS = {workload(name).environment()["RABBITMQ_USER"] for name in SERVICES}


def python(folder: str, code: str, env: dict[str, str]) -> Any:
    """What some code of a component prints as JSON."""
    result = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT / folder,
        env={**BARE, "PYTHONPATH": str(ROOT / folder), **env},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


@pytest.fixture
def secrets(tmp_path: Path) -> Path:
    """What is mounted in /run/secrets."""
    for name, value in SECRETS.items():
        (tmp_path / name).write_text(value)
    return tmp_path


def mounted(env: dict[str, str], folder: Path) -> dict[str, str]:
    return {k: v.replace("/run/secrets", str(folder)) for k, v in env.items()}


# The settings themselves say whether they can be used, in production above all.
BACKEND_CODE = """
import json
from app.application import create_app
from app.core.config import load_settings
from app.infrastructure.celery import QUEUES
settings = load_settings()
paths = []
def walk(routes):
    for route in routes:
        if hasattr(route, "path"):
            paths.append(route.path)
        for name in ("routes", "original_router"):
            inner = getattr(route, name, None)
            if inner is not None:
                walk(getattr(inner, "routes", inner))
walk(create_app(settings).routes)
print(json.dumps({
    "environment": settings.environment,
    "password": settings.rabbitmq.password.get_secret_value(),
    "redis": settings.idempotency_redis_url,
    "longest": settings.rpc.timeout_seconds + settings.database.db_timeout_seconds,
    "queues": QUEUES,
    "paths": paths,
}))
"""


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_backend_takes_its_settings(overlay: str, secrets: Path) -> None:
    env = mounted(workload("fastapi-api", overlay).environment(), secrets)
    if overlay != "development":  # kubectl-setup.sh asks for an identity provider
        env["AUTH_DISABLED"] = "true"
    found = python("backend", BACKEND_CODE, env)
    wanted = "development" if overlay == "development" else "production"
    assert found["environment"] == wanted
    assert found["password"] == SECRETS["rabbitmq-password"]
    assert found["redis"] == SECRETS["redis-keys-url"]
    # The gateway, and the route before it, wait longer than the API itself.
    read = workload("nginx", overlay).environment()["NGINX_READ_TIMEOUT"]
    route = one("gateway-api", "HTTPRoute", "fastapi-api")["spec"]["rules"][0]
    request = route["timeouts"]["request"]
    assert found["longest"] < _seconds(read) < _seconds(request)
    # Celery's queues are what KEDA looks at.
    triggers = one("production", "ScaledObject", "fastapi-celery-worker")["spec"][
        "triggers"
    ]
    lists = [
        each["metadata"]["listName"] for each in triggers if each["type"] == "redis"
    ]
    assert lists == found["queues"]
    # Probes ask paths that exist.
    main = workload("fastapi-api", overlay).main
    for name in ("startupProbe", "readinessProbe", "livenessProbe"):
        assert main[name]["httpGet"]["path"] in found["paths"]


def _seconds(text: str) -> float:
    return float(text.removesuffix("s"))


SERVICE_CODE = """
import json
from chassis.environment import load
from chassis.events.topology import service_permissions
from chassis.rpc.topology import RequestQueue
from chassis.settings import ServiceSettings
settings = load(ServiceSettings)
print(json.dumps({
    "host": settings.rabbitmq.host, "port": settings.rabbitmq.port,
    "user": settings.rabbitmq.user,
    "password": settings.rabbitmq.password.get_secret_value(),
    "arguments": RequestQueue(settings.queue_name).arguments,
    "permissions": service_permissions(settings.rabbitmq.user, settings.queue_name),
}))
"""


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_takes_its_settings(name: str, secrets: Path) -> None:
    env = mounted(workload(name).environment(), secrets)
    found = python(str(SERVICES[name].relative_to(ROOT)), SERVICE_CODE, env)
    api = workload("fastapi-api").environment()
    assert found["password"] == SECRETS["rabbitmq-password"]
    assert found["host"] == api["RABBITMQ_HOST"]
    assert found["port"] == int(api["RABBITMQ_PORT"])
    assert found["user"] != api["RABBITMQ_USER"]
    definitions = json.loads((ROOT / "rabbitmq/definitions.json").read_text())
    declared = {queue["name"]: queue["arguments"] for queue in definitions["queues"]}
    assert declared[env["QUEUE_NAME"]] == found["arguments"]
    allowed = {each.pop("user"): each for each in definitions["permissions"]}
    assert allowed[found["user"]] == {"vhost": "/", **found["permissions"]}
    assert allowed[api["RABBITMQ_USER"]] == {"vhost": "/", **API_PERMISSIONS}
    items = _secret_items(
        next(v for v in workload(name).pod["volumes"] if v["name"] == "secrets")
    )
    wanted = {"rabbitmq-password": found["user"]}  # and no other's
    if "EVENTS_DATABASE_URL_FILE" in env:
        wanted["events-database-url"] = found["user"]
    assert items == wanted


@pytest.mark.parametrize("name", [*BACKEND, "fastapi-migrations", *SERVICES])
def test_variables_are_documented(name: str) -> None:
    known = EXAMPLE | FOR_PROBES
    for variable in workload(name).environment():
        assert variable in known or variable.removesuffix("_FILE") in known, (
            f"{name} is given {variable}, which .env.example does not have: remove "
            "it, or declare it as a setting and run `make docs`"
        )


# Each with its reason in the file itself, or in a test here.
OTHER_IN_PODS = {
    *("ENVIRONMENT", "FORWARDED_ALLOW_IPS", "RABBITMQ_USER", "QUEUE_NAME"),
    *("DB_POOL_SIZE", "DB_MAX_OVERFLOW", "CELERY_WORKER_CONCURRENCY", "CONCURRENCY"),
    *("HEARTBEAT_FILE", "CELERY_HEARTBEAT_FILE", "EVENTS_RELAY_HEARTBEAT_FILE"),
    *("OTEL_SERVICE_NAME", "OTEL_TRACES_SAMPLER", "OTEL_TRACES_SAMPLER_ARG"),
    *("API_HOST", "RABBITMQ_HOST"),
}


@pytest.mark.parametrize("name", [*BACKEND, "fastapi-migrations", *SERVICES])
def test_pods_have_the_defaults_unless_there_is_a_reason(name: str) -> None:
    defaults = dotenv_values(ROOT / ".env.example")
    given = workload(name).environment()
    assert given["ENVIRONMENT"] == "production"
    for variable, value in given.items():
        if variable not in OTHER_IN_PODS and value:
            assert value == defaults.get(variable, value), variable


def test_the_api_believes_addresses_of_the_cluster_alone() -> None:
    given = workload("fastapi-api").environment()["FORWARDED_ALLOW_IPS"]
    shared = ip_network("100.64.0.0/10")  # of providers, for pods
    for network in map(ip_network, given.split(",")):
        assert network.is_private or network == shared, network


def test_every_secret_file_is_mounted_and_made() -> None:
    script = (ROOT / "deploy/secrets.sh").read_text()
    for each in workloads():
        for variable, path in each.environment().items():
            if not variable.endswith("_FILE") or not path or "HEARTBEAT" in variable:
                continue
            (mount,) = (
                mount
                for mount in each.main["volumeMounts"]
                if mount["mountPath"] == str(Path(path).parent)
            )
            (volume,) = (
                volume
                for volume in each.pod["volumes"]
                if volume["name"] == mount["name"]
            )
            if volume["name"] == "tls":
                continue  # cert-manager makes it
            file = Path(path).name
            key = file
            if "items" in str(volume):  # otherwise each key is a file
                items = _secret_items(volume)
                assert file in items, (each.name, variable)
                key = items[file]
            if each.name == "redis-nodes":
                document = (ROOT / "docs/DEPLOYMENT.md").read_text()
                assert f"--from-file={key}=<(new)" in document
                continue
            assert re.search(rf"[ (]{key} ", script) or key in USERS


def _secret_items(volume: Object) -> dict[str, str]:
    """The files of a volume, with the keys of the secrets they come from."""
    sources = volume.get("projected", {}).get("sources", [volume])
    return {
        item["path"]: item["key"]
        for each in sources
        for item in each["secret"]["items"]
    }


@pytest.mark.parametrize(
    ("name", "variable"),
    [
        ("fastapi-celery-worker", "CELERY_HEARTBEAT_FILE"),
        ("fastapi-celery-beat", "CELERY_HEARTBEAT_FILE"),
        ("fastapi-event-relay", "EVENTS_RELAY_HEARTBEAT_FILE"),
        *((name, "HEARTBEAT_FILE") for name in SERVICES),
    ],
)
def test_probes_look_at_the_file_that_is_touched(name: str, variable: str) -> None:
    found = workload(name)
    file = found.environment()[variable]
    for probe in ("startupProbe", "livenessProbe"):
        assert f" {file}" in found.main[probe]["exec"]["command"][-1]
    assert file.startswith("/tmp/")
    # What the process makes: chassis.heartbeat.
    made = {file, f"{file}.connected"}
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        command = found.main[probe]["exec"]["command"][-1]
        assert {*re.findall(r"/tmp/\S+", command)} <= made


def test_databases_are_made_alike() -> None:
    """Their name, their owner, and the order in which they sort."""
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    manifest = workload("postgres", "development").environment()
    for name in ("POSTGRES_DB", "POSTGRES_USER", "LANG"):
        assert compose["postgres"]["environment"][name] == manifest[name], name


def test_the_gateway_is_the_one_of_the_root() -> None:
    copy = (ROOT / "deploy/nginx/nginx_config.conf").read_text()
    own = (ROOT / "nginx_config.conf").read_text()
    assert copy == own, "run: cp nginx_config.conf deploy/nginx/"
    env = workload("nginx").environment()
    assert set(re.findall(r"\$\{(\w+)}", own)) <= set(env)
    for name in re.findall(r"\$\{(\w+)}", own):
        assert re.search(env["NGINX_ENVSUBST_FILTER"], name)
    defaults = dotenv_values(ROOT / ".env.example")
    for name, value in env.items():
        assert defaults.get(name, value) == value, name


def test_one_list_of_origins_for_the_api_and_its_gateway() -> None:
    api, gateway = (workload(n).environment() for n in ("fastapi-api", "nginx"))
    defaults = dotenv_values(ROOT / ".env.example")
    for name in ("CORS_ORIGINS", "CORS_CREDENTIALS"):
        assert gateway[name] == api.get(name, defaults[name])


@pytest.mark.promise(
    "docs/DEPLOYMENT.md",
    "The production overlays name the three nodes in `RABBITMQ_HOST`",
)
@pytest.mark.parametrize("overlay", ("production", "production-cpu", "operator"))
def test_clients_know_every_node_of_rabbitmq(overlay: str) -> None:
    if overlay == "operator":
        # So the Operator names the pods and the Service of a cluster.
        spec = one(overlay, "RabbitmqCluster", "rabbitmq")["spec"]
        pod, service = "rabbitmq-server", "rabbitmq-nodes"
    else:
        spec = one(overlay, "StatefulSet", "rabbitmq")["spec"]
        pod, service = "rabbitmq", spec["serviceName"]
    nodes = [f"{pod}-{number}.{service}" for number in range(spec["replicas"])]
    for config in ("backend-config", "services-config"):
        data = one(overlay, "ConfigMap", config)["data"]
        assert data["RABBITMQ_HOST"].split(",") == nodes


def test_ports_agree() -> None:
    env = workload("fastapi-api").environment()
    assert _port("fastapi-api", "http") == int(env["API_PORT"]) == 8000
    gateway = workload("nginx").environment()
    assert gateway["API_UPSTREAM"] == f"fastapi-api:{env['API_PORT']}"
    assert _port("nginx", "http") == int(gateway["NGINX_PORT"]) == 8080
    assert _port("rabbitmq", "amqp") == int(env["RABBITMQ_PORT"])
    management = f"http://rabbitmq:{_port('rabbitmq', 'management')}"
    assert env["RABBITMQ_MANAGEMENT_URL"] == management
    assert _port("redis", "redis") == int(env["REDIS_PORT"])
    assert _port("redis-keys", "redis") == 6379
    assert _port("postgres", "postgres") == 5432
    endpoint = f"http://otel-collector:{_port('otel-collector', 'otlp-grpc')}"
    for name in (*BACKEND, *SERVICES):
        variables = workload(name).environment()
        assert variables["OTEL_EXPORTER_OTLP_ENDPOINT"] == endpoint
    collector = yaml.safe_load(
        (ROOT / "observability/otel-collector-config.yaml").read_text()
    )
    protocols = collector["receivers"]["otlp"]["protocols"]
    for name in ("grpc", "http"):  # for all addresses of the pod
        listens = f"0.0.0.0:{_port('otel-collector', f'otlp-{name}')}"
        assert protocols[name]["endpoint"] == listens
    ports = {each["name"]: each for each in workload("otel-collector").main["ports"]}
    health = collector["extensions"]["health_check"]["endpoint"]
    assert health == f"0.0.0.0:{ports['health']['containerPort']}"
    template = (ROOT / "deploy/nginx/cluster.conf.template").read_text()
    ports = {each["name"]: each for each in workload("nginx").main["ports"]}
    assert "listen ${NGINX_PROBES_PORT};" in template
    settings = (ROOT / "deploy/nginx/nginx-config.env").read_text()
    assert f"\nNGINX_PROBES_PORT={ports['probes']['containerPort']}\n" in settings


@pytest.mark.parametrize("overlay", ["development", "production", "servers"])
def test_every_service_leads_to_ports_of_its_pods(overlay: str) -> None:
    for service in of_kind(overlay, "Service"):
        selector = {"matchLabels": service["spec"]["selector"]}
        (target,) = (
            each
            for each in workloads()
            if each.overlay == overlay and selects(selector, each.labels)
        )
        ports = {
            port["name"]: port["containerPort"]
            for container in target.containers
            for port in container.get("ports", [])
        }
        for port in service["spec"]["ports"]:
            assert ports[port["targetPort"]] == port["port"], target.name


def _port(service: str, name: str) -> int:
    """A port of a Service that leads to the same port of its pods."""
    spec = one("development", "Service", service)["spec"]
    (found,) = (each for each in spec["ports"] if each["name"] == name)
    targets = [
        each
        for each in workloads()
        if each.overlay == "development"
        and selects({"matchLabels": spec["selector"]}, each.labels)
    ]
    assert [each.name for each in targets] == [service]
    ports = {each["name"]: each["containerPort"] for each in targets[0].main["ports"]}
    assert ports[found["targetPort"]] == found["port"]
    return int(found["port"])


def test_rabbitmq_agrees_with_itself() -> None:
    found = workload("rabbitmq")
    env = found.environment()
    config = one("production", "ConfigMap", "rabbitmq-config")["data"]
    lines = dict(
        line.split(" = ")
        for line in config["30-cluster.conf"].splitlines()
        if " = " in line and not line.startswith("#")
    )
    headless = found.object["spec"]["serviceName"]
    assert env["RABBITMQ_NODENAME"] == f"rabbit@$(POD_NAME).{headless}.$(NAMESPACE)"
    # Erlang refuses a name with dots unless it is told to expect them.
    assert env["RABBITMQ_USE_LONGNAME"] == "true"
    service = one("production", "Service", headless)["spec"]
    assert service["clusterIP"] == "None" and service["publishNotReadyAddresses"]
    size = lines["quorum_queue.continuous_membership_reconciliation.target_group_size"]
    assert int(size) == found.object["spec"]["replicas"]
    limit = found.main["resources"]["limits"]["memory"]
    assert lines["total_memory_available_override_value"] == f"{limit}B" == "2GiB"
    assert 0.4 <= float(lines["vm_memory_high_watermark.relative"]) <= 0.7
    (claim,) = found.object["spec"]["volumeClaimTemplates"]
    storage = claim["spec"]["resources"]["requests"]["storage"]
    # As much as its memory, which it may have to write to the disk.
    free = int(lines["disk_free_limit.absolute"].removesuffix("GB"))
    assert int(limit.removesuffix("Gi")) <= free < int(storage.removesuffix("Gi")) / 2
    assert env["RABBITMQ_DEFAULT_USER"] == (
        workload("fastapi-api").environment()["RABBITMQ_USER"]
    )
    assert "rabbitmq_peer_discovery_k8s" in config["enabled_plugins"]
    assert env["RABBITMQ_DEFAULT_PASS_FILE"] == f"{env['RABBITMQ_PASSWORD_FOLDER']}/api"
    stop = (ROOT / "kubectl-remove.sh").read_text()
    hook = found.main["lifecycle"]["preStop"]["exec"]["command"][-1]
    assert "test -e /tmp/stop-all ||" in hook and "touch /tmp/stop-all" in stop
