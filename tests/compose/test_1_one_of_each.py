"""`docker-compose up -d`: it creates everything, works, and survives accidents.

The tests of this file go in their order: build, up, use, break, down, up.
"""

import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from local.apps import ROOT
from tests.compose.containers import (
    NEEDS_DATA,
    SERVICES,
    Compose,
    healthy,
    inspect,
    kill,
    rabbitmq,
    size_above,
)
from tests.e2e.client import PROCESS, PROCESS_ASYNC, RECORDS, Api, wait_for
from tests.e2e.streams import event_source

pytestmark = pytest.mark.timeout(900)  # the first builds the images

SERVERS = {"rabbitmq", "redis", "redis-keys", "postgres", "nginx", "otel-collector"}
CONTAINERS = {key: service["container_name"] for key, service in SERVICES.items()}
OURS = [name for key, name in CONTAINERS.items() if key not in {*SERVERS, "migrations"}]
RUNNING = [name for key, name in CONTAINERS.items() if key != "migrations"]
IMAGES = {service["image"] for key, service in SERVICES.items() if key not in SERVERS}


def accept(api: Api, count: int) -> list[str]:
    """Have tasks accepted; returns their ids."""
    answers = [api.post(PROCESS_ASYNC, f"task {n}", "reverse") for n in range(count)]
    assert {answer.status_code for answer in answers} == {202}
    return [answer.json()["task_id"] for answer in answers]


def works(api: Api) -> bool:
    """Whether a request succeeds."""
    try:
        return api.post(PROCESS, "hello", "uppercase").status_code == 200
    except OSError:
        return False


@pytest.mark.parametrize("image", sorted(IMAGES))
@pytest.mark.usefixtures("compose")
def test_images_are_small(image: str) -> None:
    size = size_above(image, "python:3.12-slim")
    print(f"{image}: {size:.0f} MB above its base")
    assert size <= (200 if image == "fastapi-starter-api" else 60)


def test_a_healthy_stack_within_a_minute(compose: Compose) -> None:
    began = time.monotonic()
    compose.up()
    seconds = time.monotonic() - began
    print(f"up and healthy in {seconds:.1f} s")
    assert seconds < 60


@pytest.mark.parametrize("name", RUNNING)
@pytest.mark.usefixtures("compose")
def test_containers_have_their_names_and_limits(name: str) -> None:
    container = inspect(name)
    host = container["HostConfig"]
    assert host["Memory"] > 0
    assert host["RestartPolicy"]["Name"] == "unless-stopped"
    assert host["LogConfig"]["Config"] == {"max-size": "10m", "max-file": "3"}
    assert "no-new-privileges:true" in host["SecurityOpt"]
    published = [p for ports in host["PortBindings"].values() for p in ports]
    assert {port["HostIp"] for port in published} <= {"127.0.0.1"}


@pytest.mark.parametrize("name", OURS)
@pytest.mark.usefixtures("compose")
def test_our_containers_run_without_privileges(name: str) -> None:
    container = inspect(name)
    assert container["Config"]["User"] == "10001:10001"
    assert container["HostConfig"]["ReadonlyRootfs"]
    assert container["HostConfig"]["CapDrop"] == ["ALL"]


def test_the_whole_suite_through_the_gateway(compose: Compose) -> None:
    env = {**os.environ, "E2E_BASE_URL": compose.url}
    command = [sys.executable, "-m", "pytest", "-q", "-rs", "tests/e2e"]
    suite = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True)
    print(suite.stdout)
    assert suite.returncode == 0, suite.stdout + suite.stderr


@NEEDS_DATA
def test_events_reach_a_stream(compose: Compose, api: Api) -> None:
    """From the relay's container by RabbitMQ, API and gateway."""
    with event_source(api) as source:
        (task_id,) = accept(api, 1)
        event = source.until(task_id)
        assert event["data"]["outcome"]["output"] == "0 ksat"
        # Without the relay, the API reads events from their table.
        wait_for(lambda: published(compose) > 0, "events that RabbitMQ gives the API")


def published(compose: Compose) -> int:
    """Events that the exchange has passed on to a queue."""
    figures = rabbitmq(compose, "exchanges/%2F/events").get("message_stats", {})
    return int(figures.get("publish_out", 0))


def test_migrations_by_the_documented_command(compose: Compose) -> None:
    compose("run", "--rm", "migrations", "alembic", "upgrade", "head")
    assert "(head)" in compose("run", "--rm", "migrations", "alembic", "current")


def test_production_refuses_the_passwords_of_this_repository(compose: Compose) -> None:
    command = ["run", "--rm", "--no-deps", "-e", "ENVIRONMENT=production", "api"]
    said = compose(*command, "python", "main.py", check=False)
    for variable in ("RABBITMQ_PASSWORD", "DATABASE_URL"):
        assert f"{variable}: set your own password" in said


@pytest.mark.usefixtures("compose")
@pytest.mark.parametrize("name", OURS)
def test_a_hanging_container_is_unhealthy(name: str) -> None:
    """SIGSTOP pauses it: it exists, but does nothing."""
    pid = inspect(name)["State"]["Pid"]
    command = ["docker", "run", "--rm", "--pid=host", "--user=0", "--entrypoint=sh"]
    for signal in ("STOP", "CONT"):
        script = f"kill -{signal} {pid}"
        subprocess.run([*command, "fastapi-starter-api", "-c", script], check=True)
        expected = signal == "CONT"
        wait_for(lambda: healthy(name) == expected, f"{name} after SIG{signal}", 90)


@NEEDS_DATA
@pytest.mark.parametrize("name", RUNNING)
def test_a_killed_container_is_restarted(api: Api, name: str) -> None:
    accepted = accept(api, 5)
    before = inspect(name)["State"]["StartedAt"]
    began = time.monotonic()
    kill(name)
    wait_for(
        lambda: inspect(name)["State"]["StartedAt"] != before and healthy(name),
        f"{name} to be back",
        90,
    )
    wait_for(lambda: works(api), "requests to succeed", 60)
    print(f"{name}: back after {time.monotonic() - began:.1f} s")
    # A task that a killed worker held waits for CELERY_VISIBILITY_TIMEOUT_SECONDS.
    for task_id in accepted:
        assert api.wait_ended(task_id, within=240)["task_status"] == "Success"


@NEEDS_DATA
def test_down_is_quick_and_loses_nothing(compose: Compose, api: Api) -> None:
    record = api.process("kept", "uppercase")
    with ThreadPoolExecutor(8) as clients:
        accepted = [
            task_id
            for ids in clients.map(lambda _: accept(api, 25), range(8))
            for task_id in ids
        ]
    began = time.monotonic()
    compose("down")
    seconds = time.monotonic() - began
    print(f"down in {seconds:.1f} s, just after {len(accepted)} tasks were accepted")

    compose.up()
    assert api.get_json(f"{RECORDS}/{record['task_id']}") == record
    for task_id in accepted:
        assert api.wait_ended(task_id, within=120)["task_status"] == "Success"
    assert seconds < 15
