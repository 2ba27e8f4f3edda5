"""Compose files, Dockerfiles, settings and gateway agree; nothing is started."""

import os
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from chassis.events.publisher import CONFIRM_SECONDS
from chassis.settings import ServiceSettings
from local.apps import service_folders
from local.registry import registered
from local.tls import SERVERS as TLS_SERVERS
from tests.compose.containers import BACKUP, BASE, DEV, HA, SCALE, TLS, Compose

ROOT = Path(__file__).parents[2]
FOLDERS = ["backend", *(f"services/{folder.name}" for folder in service_folders())]
FILES = (BASE, SCALE, DEV, TLS, HA, BACKUP)
EXAMPLE = (ROOT / ".env.example").read_text()

CLONE = "${CONTAINER_PREFIX:-}"

# Name in Compose: container, image.
CONTAINERS = {
    "api": ("fastapi-api", "fastapi-starter-api"),
    "api-celery": ("fastapi-celery-worker", "fastapi-starter-api"),
    "api-celery-beat": ("fastapi-celery-beat", "fastapi-starter-api"),
    "event-relay": ("fastapi-event-relay", "fastapi-starter-api"),
    "migrations": ("fastapi-migrations", "fastapi-starter-api"),
    "rabbitmq": ("rabbitmq-service", "rabbitmq-service"),
    "redis": ("redis", "redis:7-alpine"),
    "redis-keys": ("redis-keys", "redis:7-alpine"),
}

# What containers are given in a fixed way, or by a way of their own.
FIXED = {"API_HOST", "API_PORT", "CELERY_HEARTBEAT_FILE", "OTEL_SERVICE_NAME"}
FIXED |= {"EVENTS_RELAY_HEARTBEAT_FILE", "FORWARDED_ALLOW_IPS"}


def load(name: str) -> dict[str, Any]:
    """A compose file, anchors resolved, with the names of a first clone."""
    text = (ROOT / name).read_text().replace(CLONE, "")
    loaded: dict[str, Any] = yaml.safe_load(text)
    return loaded


def section(title: str) -> dict[str, str | None]:
    """Variables of a part of .env.example; None for those without a value."""
    text = EXAMPLE.split(f"# --- {title}")[1].split("# --- ")[0]
    found = re.findall(r"^(# )?([A-Z][A-Z0-9_]+)=(.*)$", text, re.MULTILINE)
    return {name: None if unset else value for unset, name, value in found}


SERVICES: dict[str, Any] = load(BASE)["services"]
BACKEND = ["api", "api-celery", "api-celery-beat", "event-relay", "migrations"]
OWN = [
    name
    for name, service in SERVICES.items()
    if service.get("build", {}).get("dockerfile", "").startswith("services/")
]
# Titles of the sections that the backend reads.
TITLES = [
    "API and worker",
    "Identity",
    "RabbitMQ",
    "Calls",
    "PostgreSQL",
    "Celery",
    "Idempotency",
]
TITLES += ["Telemetry"]


def default(value: str | None) -> str | None:
    """The default in ${NAME:-default}; the value itself where there is none."""
    found = re.fullmatch(r"\$\{\w+:?-(.*)\}", value or "")
    return found[1] if found else value


NGINX_MEMORY = 64  # MiB, for its workers and what their connections hold


def seconds(text: str) -> float:
    """A duration such as 45s."""
    return float(text.removesuffix("s"))


@pytest.mark.parametrize("name", CONTAINERS)
def test_containers_and_images_have_their_names(name: str) -> None:
    service = SERVICES[name]
    container, image = CONTAINERS[name]
    # A project that was renamed has its name before all of them.
    assert plain(service["container_name"]) == plain(container)
    assert service["image"] == image


@pytest.mark.parametrize("name", OWN)
def test_a_service_has_one_name(name: str) -> None:
    service = SERVICES[name]
    assert service["container_name"] == service["image"] == name
    folder = Path(service["build"]["dockerfile"]).parent
    assert (ROOT / folder / "main.py").exists()


def test_a_second_clone_shares_no_name() -> None:
    """Given a prefix and a network; Compose's project name does the rest."""
    loaded = yaml.safe_load((ROOT / BASE).read_text())
    for name, service in loaded["services"].items():
        assert service["container_name"].startswith(CLONE), name
        ours = name in {*BACKEND, *OWN, "rabbitmq"}
        assert service["image"].startswith(CLONE) == ours, name
        for port in service.get("ports", []):
            assert port.count("${") == (2 if name == "nginx" else 1), port
    named = [*loaded["networks"].values(), *loaded["volumes"].values()]
    assert not [each for each in named if each and "name" in each]


def test_the_api_believes_nginx_alone() -> None:
    """Docker's bridge, .1, is what clients of published ports come from."""
    nginx = SERVICES["nginx"]["networks"]["gateway"]["ipv4_address"]
    assert SERVICES["api"]["environment"]["FORWARDED_ALLOW_IPS"] == nginx
    (network,) = load(BASE)["networks"]["gateway"]["ipam"]["config"]
    assert network["subnet"].removesuffix(".0/24") == nginx.removesuffix(".254")


def test_every_container_has_a_limit_of_files() -> None:
    """Some Docker hosts have none: RabbitMQ then reserves gigabytes. Others, without
    the right to raise their own, refuse a high one."""
    for name, service in SERVICES.items():
        limit = service["ulimits"]["nofile"]
        assert 8192 <= limit["soft"] <= limit["hard"] <= 16384, name


def test_no_proxy_of_docker_gets_telemetry_or_probes() -> None:
    for name in [*BACKEND, *OWN]:
        environment = SERVICES[name]["environment"]
        for variable in ("NO_PROXY", "no_proxy"):
            assert "otel-collector" in environment[variable].split(","), name
    assert "--noproxy" in SERVICES["nginx"]["healthcheck"]["test"]


def test_probes_ask_localhost_by_name() -> None:
    """It is 127.0.0.1 or ::1, as the process listens."""
    files = [*(ROOT / folder / "Dockerfile" for folder in FOLDERS), ROOT / BASE]
    files += [ROOT / "rabbitmq/healthcheck.sh"]
    files += [ROOT / "deploy/compose/rolling-restart.sh"]
    for file in files:
        assert not re.search(r"127\.0\.0\.1(?!:\$|\}:)", file.read_text()), file


def plain(name: str) -> str:
    """Without the name of the project."""
    return name.removeprefix("fastapi-starter-")


def test_ports_are_the_documented_ones_and_private() -> None:
    published = {
        re.sub(r"\$\{\w+:?-([^}]*)\}", r"\1", port)
        for service in SERVICES.values()
        for port in service.get("ports", [])
    }
    assert published == {
        f"127.0.0.1:{port}"
        for port in ("8081:8080", "8000:8000", "5432:5432", "6379:6379", "5672:5672")
        + ("15672:15672", "4317:4317", "4318:4318")
    }


@pytest.mark.parametrize("name", BACKEND)
@pytest.mark.parametrize("title", TITLES)
def test_the_backend_is_given_every_variable(name: str, title: str) -> None:
    environment = SERVICES[name]["environment"]
    for variable, value in section(title).items():
        if variable in FIXED or variable.endswith("_FILE"):
            continue
        assert variable in environment, f"{name} lacks {variable}: run `make docs`"
        # Without a value it is passed on if somebody sets it.
        if environment[variable] is not None and value is not None:
            assert default(environment[variable]) == value, variable


#: Some of each kind that OpenTelemetry's specification names.
STANDARD = """
    OTEL_SDK_DISABLED OTEL_RESOURCE_ATTRIBUTES OTEL_SERVICE_NAME OTEL_PROPAGATORS
    OTEL_TRACES_SAMPLER OTEL_TRACES_SAMPLER_ARG OTEL_TRACES_EXPORTER
    OTEL_METRICS_EXPORTER OTEL_LOGS_EXPORTER OTEL_EXPORTER_OTLP_HEADERS
    OTEL_EXPORTER_OTLP_TRACES_ENDPOINT OTEL_EXPORTER_OTLP_METRICS_PROTOCOL
    OTEL_EXPORTER_OTLP_LOGS_TIMEOUT OTEL_EXPORTER_OTLP_CERTIFICATE
    OTEL_BSP_SCHEDULE_DELAY OTEL_BLRP_MAX_QUEUE_SIZE OTEL_METRIC_EXPORT_INTERVAL
    OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT
""".split()


@pytest.mark.parametrize("name", [*BACKEND, *OWN])
def test_every_process_is_given_the_variables_of_opentelemetry(name: str) -> None:
    environment = SERVICES[name]["environment"]
    assert set(STANDARD) <= environment.keys()
    assert plain(environment["OTEL_SERVICE_NAME"]) == plain(
        SERVICES[name]["container_name"]
    )


def test_the_gateway_is_given_every_variable() -> None:
    environment = SERVICES["nginx"]["environment"]
    for variable, value in section("nginx").items():
        assert default(environment[variable]) == value
    template = (ROOT / "nginx_config.conf").read_text()
    # gateway.sh finds the addresses of the APIs.
    used = {*re.findall(r"\$\{(\w+)}", template)} - {"API_UPSTREAM"}
    assert used <= set(environment)


def test_one_queue_for_both_sides() -> None:
    api = SERVICES["api"]["environment"]
    queues = {SERVICES[name]["environment"]["QUEUE_NAME"] for name in OWN}
    registry = registered()
    assert {default(queue) for queue in queues} == set(registry.values())
    assert queues == {api[f"{name.upper()}_QUEUE_NAME"] for name in registry}


def test_one_broker_for_both_sides() -> None:
    api = SERVICES["api"]["environment"]
    for service in OWN:
        environment = SERVICES[service]["environment"]
        for name in ("HOST", "PORT", "VHOST", "SSL"):
            assert environment[f"RABBITMQ_{name}"] == api[f"RABBITMQ_{name}"]
    broker = SERVICES["rabbitmq"]["environment"]
    assert broker["RABBITMQ_DEFAULT_USER"] == api["RABBITMQ_USER"]
    assert broker["RABBITMQ_DEFAULT_PASS"] == api["RABBITMQ_PASSWORD"]
    monitoring = api["RABBITMQ_MONITORING_PASSWORD"]
    assert broker["MONITORING_RABBITMQ_PASSWORD"] == monitoring
    database = SERVICES["postgres"]["environment"]
    url = "://{user}:{password}@postgres:5432/{name}".format(
        user=database["POSTGRES_USER"],
        password=default(database["POSTGRES_PASSWORD"]),
        name=database["POSTGRES_DB"],
    )
    assert url in api["DATABASE_URL"]


@pytest.mark.parametrize("service", OWN)
def test_a_service_has_a_user_of_its_own(service: str) -> None:
    environment = SERVICES[service]["environment"]
    user = default(environment["RABBITMQ_USER"])
    broker = SERVICES["rabbitmq"]["environment"]
    variable = f"{(user or '').upper()}_RABBITMQ_PASSWORD"
    assert broker[variable] == environment["RABBITMQ_PASSWORD"]
    assert user in registered() and f"${{{variable}:-" in broker[variable]
    assert not [name for name in environment if "MONITORING" in name]


OF_EACH_SERVICE = "._(QUEUE_NAME|RABBITMQ_USER|RABBITMQ_PASSWORD|EVENTS_DATABASE_URL)$"


def test_every_variable_of_the_files_is_documented() -> None:
    text = "".join((ROOT / name).read_text() for name in FILES)
    used = re.findall(r"\$\{([A-Z][A-Z0-9_]+)(?::?-([^}]*))?\}", text)
    documented = dict(re.findall(r"^(?:# )?([A-Z_]+)=(.*)$", EXAMPLE, re.MULTILINE))
    unlike = {"LOG_FORMAT"}  # text at a terminal
    for name, value in used:
        if re.search(OF_EACH_SERVICE, name):
            continue
        assert name in documented
        if documented[name] and name not in unlike:
            assert value == documented[name], name


def test_processes_wait_for_the_servers_that_they_are_given() -> None:
    for name in [*BACKEND, *OWN]:
        text = " ".join(filter(None, SERVICES[name]["environment"].values()))
        hosts = {*re.findall(r"(?<=[@/])[a-z-]+(?=:\d)|(?<=:-)rabbitmq(?=})", text)}
        needed = hosts & SERVICES.keys()
        assert len(needed) > 1
        if name != "migrations":  # they ask PostgreSQL alone
            assert needed <= SERVICES[name]["depends_on"].keys(), name


def test_each_process_has_longer_to_stop_than_it_takes() -> None:
    values = dict(re.findall(r"^([A-Z_]+)=(.*)$", EXAMPLE, re.MULTILINE))
    takes = {
        "nginx": seconds(values["NGINX_READ_TIMEOUT"]),
        # main.py gives running requests 5 s more than a call may take.
        "api": float(values["RPC_TIMEOUT_SECONDS"]) + 5,
        # A worker that stands still ends 10 s after the grace period.
        "api-celery": float(values["CELERY_WORKER_GRACE_SECONDS"]) + 10,
        "event-relay": CONFIRM_SECONDS,
        **dict.fromkeys(OWN, ServiceSettings().shutdown_grace_seconds),
    }
    for name, needed in takes.items():
        assert seconds(SERVICES[name]["stop_grace_period"]) >= needed + 5


def test_every_container_has_limits_and_restarts() -> None:
    for name, service in SERVICES.items():
        assert service["mem_limit"], name
        log = service["logging"]["options"]
        assert log["max-size"] and log["max-file"], f"{name}: its log fills the disk"
        assert service["restart"] == (
            "no" if name == "migrations" else "unless-stopped"
        )


def test_our_containers_have_no_privileges() -> None:
    for name in [*BACKEND, *OWN, "rabbitmq", "nginx"]:
        service = SERVICES[name]
        assert service["read_only"] and service["cap_drop"] == ["ALL"], name
    for name, service in SERVICES.items():
        assert "no-new-privileges:true" in service["security_opt"], name
    # Images that are not ours start as root.
    assert int(SERVICES["nginx"]["user"]) > 0


@pytest.mark.promise(
    "docs/CONTAINERS.md",
    "Our containers have two minutes for their first start, because all of them start "
    "at once on a busy machine.",
)
def test_a_first_start_may_take_two_minutes() -> None:
    for name in [*BACKEND, *OWN]:
        service = SERVICES[name]
        check = service.get("healthcheck", {})
        if "build" in service and not check:
            file = ROOT / service["build"]["dockerfile"]
            (said,) = re.findall(
                r"^HEALTHCHECK .*?--start-period=(\w+)", file.read_text(), re.M
            )
            assert seconds(said) >= 120, name
        assert check.get("disable") or seconds(check.get("start_period", "120s")) >= 120


def test_a_backup_that_nobody_continues_fills_no_disk() -> None:
    command = SERVICES["postgres"]["command"]
    assert any(word.startswith("max_slot_wal_keep_size=") for word in command)


# What a container may share with others, or have of the host's; each with its reason.
SHARED = {
    # Backups go through the local connections of PostgreSQL, and need no network.
    ("postgres-wal", "network_mode"): "service:postgres",
    ("postgres-restore", "network_mode"): "none",
    # Reads the keys that are their owner's alone.
    ("certificates", "network_mode"): "none",
    ("certificates", "user"): "0",
    ("certificates", "cap_add"): ["DAC_OVERRIDE"],
    ("nginx", "user"): "101",
}
OF_THE_HOST = {
    *("privileged", "network_mode", "pid", "ipc", "userns_mode", "cgroup", "devices"),
    *("user", "cap_add", "sysctls", "uts", "group_add", "device_cgroup_rules"),
}


@pytest.mark.parametrize("file", FILES)
def test_no_container_has_more_of_the_host_than_it_needs(file: str) -> None:
    for name, service in load(file)["services"].items():
        for key in OF_THE_HOST & service.keys():
            assert SHARED.get((name, key)) == service[key], (name, key)
        for volume in service.get("volumes", []):
            assert "docker.sock" not in volume and volume[0] not in "/~", name
        for port in service.get("ports", []):
            assert port.startswith(("127.0.0.1:", "${GATEWAY_ADDRESS:-127.0.0.1}:"))
        for folder in service.get("tmpfs", []):
            assert re.search(r"\bsize=\d+m$", folder), f"{name}: {folder} fills memory"


@pytest.mark.parametrize("file", FILES)
def test_checks_of_health_end_and_give_up(file: str) -> None:
    for name, service in load(file)["services"].items():
        check = service.get("healthcheck", {})
        if not {"timeout", "retries"} & check.keys() and file != BASE or not check:
            continue  # it completes that of another file
        if check.get("disable"):
            continue
        assert 0 < seconds(check["timeout"]) <= seconds(check["interval"]) <= 10, name
        assert 2 <= check["retries"] <= 10, name


def test_only_postgresql_writes_outside_of_volumes() -> None:
    for name, service in SERVICES.items():
        assert name == "postgres" or service["read_only"], name


def test_no_container_takes_all_processes_of_the_host() -> None:
    """Erlang's and the Collector's threads come and go with the processors."""
    unbounded = {name for name, each in SERVICES.items() if "pids_limit" not in each}
    assert unbounded <= {"rabbitmq", "postgres", "otel-collector"}


# Where the images keep what a new container must find again.
DATA = {
    "postgres": "/var/lib/postgresql/data",
    "rabbitmq": "/var/lib/rabbitmq",
    "redis": "/data",
}


def test_data_outlives_its_container() -> None:
    for name, folder in DATA.items():
        assert SERVICES[name]["volumes"] == [f"{name}-data:{folder}"]
    assert set(load(BASE)["volumes"]) == {f"{name}-data" for name in DATA}


def test_files_of_the_project_are_mounted_to_be_read() -> None:
    for name in FILES:
        for container, service in load(name)["services"].items():
            for volume in service.get("volumes", []):
                if volume.startswith("./") and not volume.startswith("./backups"):
                    assert volume.endswith(":ro"), (container, volume)


def test_nginx_reaches_the_api_alone() -> None:
    networks = {name: {*each.get("networks", [])} for name, each in SERVICES.items()}
    assert networks.pop("nginx") == {"gateway"}
    assert networks.pop("api") == {"gateway", "network1"}
    assert all(each == {"network1"} for each in networks.values()), networks


def test_migrations_may_have_a_role_of_their_own() -> None:
    """Other processes never see the password of the tables' owner."""
    for name, service in SERVICES.items():
        given = "MIGRATIONS_DATABASE_URL" in (service.get("environment") or {})
        assert given == (name == "migrations"), name


def test_mounted_files_exist() -> None:
    for name in FILES:
        for service in load(name)["services"].values():
            for volume in service.get("volumes", []):
                if (
                    volume.startswith("./")
                    and ".local/tls" not in volume
                    and "backups" not in volume
                ):
                    assert (ROOT / volume.partition(":")[0]).exists(), volume


@pytest.mark.skipif(not shutil.which("docker-compose"), reason="no docker-compose")
@pytest.mark.parametrize("others", [(), (DEV,), (SCALE,), (HA,), (DEV, SCALE)])
def test_compose_finds_what_files_name_together(others: tuple[str, ...]) -> None:
    """Paths in every file begin at the folder of the first one."""
    loaded = yaml.safe_load(Compose(files=(BASE, *others))("config"))
    for name, service in loaded["services"].items():
        places = [volume.split(":")[0] for volume in service.get("volumes", [])]
        places += [service["build"]["context"]] if "build" in service else []
        for place in places:
            assert not place.startswith("/") or Path(place).exists(), (name, place)


def test_commands_name_files_that_are_there() -> None:
    script = ROOT / "deploy/compose/rolling-restart.sh"
    text = (ROOT / "Makefile").read_text() + script.read_text()
    named = set(re.findall(r"[\w/.-]*docker-compose[\w.]*\.yml", text))
    assert named == set(FILES)
    assert " deploy/compose/rolling-restart.sh" in text and os.access(script, os.X_OK)
    (begins,) = re.findall(r'^cd "\$\(dirname "\$0"\)/(.+)"$', text, re.MULTILINE)
    assert (script.parent / begins).resolve() == ROOT


def test_old_and_new_compose_read_the_files() -> None:
    for name in FILES:
        loaded = load(name)
        assert {key for key in loaded if not key.startswith("x-")} <= {
            *("services", "networks", "volumes")
        }
        text = (ROOT / name).read_text()
        assert not re.search(r"start_interval|develop:|!reset|!override", text)


@pytest.mark.parametrize("file", (SCALE, DEV, TLS, HA, BACKUP))
def test_no_second_file_repeats_what_compose_would_add(file: str) -> None:
    """Compose appends these lists, and 2.26 refused one with two equal items."""
    for name, service in load(file)["services"].items():
        for key in ("cap_add", "cap_drop", "security_opt"):
            both = {*service.get(key, ())} & {*SERVICES.get(name, {}).get(key, ())}
            assert not both, f"{name}: {key}"


def test_what_is_scaled_loses_its_name() -> None:
    for name, service in load(SCALE)["services"].items():
        assert service["scale"] > 1 and service["container_name"] == "", name


def test_development_runs_the_same_commands() -> None:
    """Behind the reloader, and with two processes of a worker."""
    for name, service in load(DEV)["services"].items():
        reloader, command = service["command"][:2], service["command"][2:]
        assert reloader == ["python", "/reload.py"]
        usual = SERVICES[name].get("command", ["python", "main.py"])
        assert command[:-1] == usual[:-1] or command == usual


def test_development_has_the_code_of_the_chassis() -> None:
    """Before the copy that is in the image."""
    for name, service in load(DEV)["services"].items():
        mounted = dict(volume.split(":")[:2] for volume in service["volumes"])
        assert mounted["./packages/chassis/src"] == service["environment"]["PYTHONPATH"]


@pytest.mark.parametrize("folder", FOLDERS)
def test_dockerfiles_keep_the_contract(folder: str) -> None:
    text = (ROOT / folder / "Dockerfile").read_text()
    assert "USER 10001:10001" in text
    assert 'CMD ["python", "main.py"]' in text
    assert len(set(re.findall(r"^FROM (\S+)", text, re.MULTILINE))) == 1


# Only an image whose service stores what it receives has these.
EVENTS_REQUIREMENTS = (
    "COPY --chmod=0644 packages/chassis/requirements-events.txt packages/chassis/\n"
)


def test_our_images_are_built_alike() -> None:
    """One base image, one script: the first steps of one build serve the next."""
    first = {
        (ROOT / folder / "Dockerfile")
        .read_text()
        .split("\nFROM ")[1]
        .replace(folder, "")
        .replace(EVENTS_REQUIREMENTS, "")
        for folder in FOLDERS
    }
    assert len(first) == 1
    script = (ROOT / "deploy/image.sh").read_text()
    assert "--require-hashes --only-binary :all:" in script


def test_bodies_fit_the_folder_of_the_gateway() -> None:
    """All the bodies that may go to files at a time, and room for nginx beside them."""
    values = {name: value or "" for name, value in section("nginx").items()}
    most = int(values["NGINX_LARGE_BODIES"]) * megabytes(values["NGINX_MAX_BODY"])
    folder = megabytes(re.findall(r"size=(\w+)", SERVICES["nginx"]["tmpfs"][0])[0])
    limit = megabytes(SERVICES["nginx"]["mem_limit"])
    assert most < folder < limit - NGINX_MEMORY
    assert int(values["NGINX_LARGE_BODIES_OF_CLIENT"]) <= most / 4


def test_one_client_leaves_connections_to_others() -> None:
    """A request has two, and nginx's worker some thousands."""
    values = {name: value or "" for name, value in section("nginx").items()}
    start = (ROOT / "deploy/compose/gateway.sh").read_text()
    main = (ROOT / "deploy/nginx/nginx.conf").read_text()
    for text in (start, main):
        of_worker = int(re.findall(r"worker_connections (\d+);", text)[0])
        assert 2 * int(values["NGINX_CONNECTIONS"]) <= of_worker / 4
    assert int(values["NGINX_POLLING"]) <= int(values["NGINX_CONNECTIONS"]) / 2


def megabytes(text: str) -> int:
    """Of a size such as 96m."""
    assert text.endswith("m"), text
    return int(text.removesuffix("m"))


CA_QUERY = "?ssl_ca_certs=/tls/ca.crt"
ENCRYPTED: dict[str, Any] = load(TLS)["services"]
CERTIFICATES = "certificates"


def test_with_tls_every_service_waits_for_its_certificates() -> None:
    assert set(ENCRYPTED) == {*SERVICES, CERTIFICATES}
    for name in SERVICES:
        assert ENCRYPTED[name]["depends_on"] == {
            CERTIFICATES: {"condition": "service_completed_successfully"}
        }
    made = ENCRYPTED[CERTIFICATES]["volumes"][1:]
    assert set(made) == {f"tls-{server}:/to/{server}" for server in TLS_SERVERS}


@pytest.mark.parametrize("name", SERVICES)
def test_with_tls_each_has_its_own_key_or_none(name: str) -> None:
    (mounted,) = [v for v in ENCRYPTED[name]["volumes"] if ":/tls" in v]
    if name in TLS_SERVERS:
        assert mounted == f"tls-{name}:/tls:ro"
    else:
        assert mounted == "./.local/tls/ca.crt:/tls/ca.crt:ro"


@pytest.mark.parametrize("name", [*BACKEND, *OWN])
def test_with_tls_no_client_speaks_plainly(name: str) -> None:
    plain_ways = ("http://", "redis://", "amqp://")
    environment = {**SERVICES[name]["environment"], **ENCRYPTED[name]["environment"]}
    for variable, value in environment.items():
        assert not any(way in (value or "") for way in plain_ways), variable
    assert environment["RABBITMQ_SSL"] == "true"
    assert environment["RABBITMQ_SSL_CA_FILE"] == "/tls/ca.crt"
    assert environment["OTEL_EXPORTER_OTLP_CERTIFICATE"] == "/tls/ca.crt"
    database = environment.get("DATABASE_URL", "sslmode=verify-full")
    assert "sslmode=verify-full" in database


def test_with_tls_servers_keep_their_options() -> None:
    for name in ("redis", "redis-keys"):
        command = SERVICES[name]["command"]
        assert ENCRYPTED[name]["command"][: len(command)] == command
        assert ENCRYPTED[name]["command"][len(command) :][:2] == ["--port", "0"]
    options = " ".join(SERVICES["postgres"]["command"])
    assert options in ENCRYPTED["postgres"]["command"][-1]
    first = ENCRYPTED["otel-collector"]["command"][0]
    assert first == SERVICES["otel-collector"]["command"][0]
    access = (ROOT / "deploy/compose/pg_hba_tls.conf").read_text()
    ways = [line.split()[0] for line in access.splitlines() if line[0] != "#"]
    assert ways == ["local", "hostssl"]
    rabbitmq = (ROOT / "deploy/components/tls/rabbitmq-tls.conf").read_text()
    assert "listeners.tcp = none" in rabbitmq


@pytest.mark.parametrize(
    "name", ["CELERY_BROKER_URL", "CELERY_RESULT_BACKEND", "IDEMPOTENCY_REDIS_URL"]
)
def test_with_tls_the_logins_are_the_same(name: str) -> None:
    plain_url = default(SERVICES["api"]["environment"][name]) or ""
    url = re.sub(r"\$\{\w+:-(\w+)}", r"\1", ENCRYPTED["api"]["environment"][name])
    assert url == plain_url.replace("redis:", "rediss:", 1) + CA_QUERY


def test_programs_without_site_call_nothing_of_it() -> None:
    """`python -S` knows no `exit` and no `quit`: such a check would never succeed."""
    names = (*FILES, "deploy/compose/rolling-restart.sh", "backend/Dockerfile")
    for name in names:
        for program in re.findall(
            r"import http\.client[^\n]*", (ROOT / name).read_text()
        ):
            assert not re.search(r"(?<![.\w])(exit|quit)\(", program), name


SEVERAL: dict[str, Any] = load(HA)["services"]
SERVERS = ("rabbitmq", "postgres", "redis", "redis-keys")


def test_of_several_nodes_all_have_the_same_settings() -> None:
    """Node 1 is that of docker-compose.yml, which may have got another user since."""
    for server in SERVERS:
        first = SERVICES[server]
        own = {**first["environment"], **SEVERAL[server]["environment"]}
        for number in (2, 3):
            node = SEVERAL[f"{server}-{number}"]
            assert node["environment"].keys() >= own.keys() - DEFAULT_USER, server
            for name in ("mem_limit", "restart", "ulimits", "logging", "cap_drop"):
                expected = SEVERAL[server].get(name, first.get(name, node.get(name)))
                assert node.get(name) == expected, (server, name)
            shortest = SEVERAL[server].get("stop_grace_period")
            shortest = shortest or first["stop_grace_period"]
            assert seconds(node["stop_grace_period"]) >= seconds(shortest)
            assert "ports" not in node and node["mem_limit"] and node["logging"]
            assert (
                "no-new-privileges:true" in node["security_opt"] and node["read_only"]
            )
    for name in ("redis", "redis-keys"):
        command = SERVICES[name]["command"]
        rights = command[command.index("--maxmemory") :]
        assert SEVERAL[name]["command"] == ["sh", "/ha/node.sh", "server", *rights]
        assert SEVERAL[f"{name}-2"]["command"] == SEVERAL[name]["command"]


def test_each_node_has_a_name_and_data_of_its_own() -> None:
    """Under another name, RabbitMQ would begin with nothing."""
    places: list[str] = []
    for kind in (*SERVERS, "etcd", "sentinel"):
        for number in (1, 2, 3):
            is_first = number == 1 and kind in SERVERS
            node = SEVERAL[kind if is_first else f"{kind}-{number}"]
            own = [v for v in node["volumes"] if not v.startswith("./")]
            assert [v.partition(":")[0] for v in own] == [f"{kind}-{number}"]
            places += [f"{kind}:{v.partition(':')[2]}" for v in own]
            if kind == "rabbitmq":
                assert node["hostname"] == f"rabbitmq-{number}"
                assert own[0].endswith(DATA["rabbitmq"])
            assert is_first or node["restart"] == "unless-stopped"
            assert is_first or node["logging"]["options"] and node["mem_limit"]
    assert len({*places}) == 6  # in the same folder on each node
    assert {*load(HA)["volumes"]} == {
        f"{kind}-{number}"
        for kind in (*SERVERS, "etcd", "sentinel")
        for number in (1, 2, 3)
    }
    assert SERVICES["rabbitmq"]["hostname"] == "rabbitmq-service"


# What the image of PostgreSQL makes itself, and create-database.sh here.
DEFAULT_USER = {"POSTGRES_USER", "POSTGRES_DB", "LANG"}


def test_every_node_that_a_client_names_is_there() -> None:
    names = {*SEVERAL}
    for server in SERVERS:
        names.update(SEVERAL[server]["networks"]["network1"]["aliases"])
    text = (ROOT / HA).read_text()
    for kind in (*SERVERS, "etcd", "sentinel"):
        for number in (1, 2, 3):
            assert f"{kind}-{number}" in names
            assert text.count(f"{kind}-{number}") > 1
    for name in [*BACKEND, *OWN]:
        environment = SEVERAL[name]["environment"]
        assert environment["RABBITMQ_HOST"] == "rabbitmq-1,rabbitmq-2,rabbitmq-3"
        assert name == "migrations" or SEVERAL[name]["scale"] == 2
        if "DATABASE_URL" in environment:  # a replica would take no writes
            url = environment["DATABASE_URL"]
            assert url.count("postgres-") == 3
            assert "target_session_attrs=read-write" in url
        for variable in set(environment) & {*REDIS_URLS}:
            assert environment[variable].count("sentinel-") == 3
    peers = (ROOT / "deploy/ha/rabbitmq/cluster.conf").read_text()
    assert peers.count("= rabbit@rabbitmq-") == 3


REDIS_URLS = ("CELERY_BROKER_URL", "CELERY_RESULT_BACKEND", "IDEMPOTENCY_REDIS_URL")


def test_no_client_of_several_nodes_names_one_alone() -> None:
    """Every URL that docker-compose.yml sets has another one here."""
    for name in [*BACKEND, *OWN]:
        for variable, value in SERVICES[name]["environment"].items():
            if re.search("@(postgres|redis|redis-keys):|:-rabbitmq}", value or ""):
                assert variable in SEVERAL[name]["environment"], (name, variable)
