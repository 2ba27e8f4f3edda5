"""The probes and hooks of RabbitMQ, Redis and PostgreSQL, on real servers."""

import os
import shutil
import subprocess
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from local.apps import ROOT
from local.ports import accepts, free_port
from local.process import Child
from local.servers.postgres import PostgreSQL
from local.servers.rabbitmq import RabbitMQ, find_script
from local.servers.redis import find_binary
from local.state import State
from tests.e2e.client import wait_for


def container(file: str) -> dict[str, Any]:
    """The container of the StatefulSet in a file of manifests."""
    for each in yaml.safe_load_all((ROOT / file).read_text()):
        if each["kind"] == "StatefulSet":
            found: dict[str, Any] = each["spec"]["template"]["spec"]["containers"][0]
            return found
    raise AssertionError(f"no StatefulSet in {file}")


def run(
    hook: Mapping[str, Any], env: Mapping[str, str], folder: Path, within: float = 30
) -> int | None:
    """The exit code of a probe's or hook's command; None if it takes too long."""
    command = hook["exec"]["command"]
    try:
        result = subprocess.run(
            command, env=env, cwd=folder, timeout=within, stdout=subprocess.DEVNULL
        )
    except subprocess.TimeoutExpired:
        return None
    return result.returncode


# Takes 20 s, and much longer on a busy machine: RabbitMQ's commands start slowly.
@pytest.mark.timeout(300)
def test_rabbitmq(rabbitmq: RabbitMQ) -> None:
    script = find_script()
    assert script is not None
    env = {**rabbitmq.command().env, "QUORUM_WAIT_SECONDS": "60"}
    env["PATH"] = f"{Path(script).parent}:{ROOT / 'rabbitmq'}:{os.environ['PATH']}"
    spec = container("rabbitmq/rabbitmq-statefulset.yaml")
    # Kubernetes checks whether the port is open, at the start and afterwards.
    assert spec["startupProbe"]["tcpSocket"] == {"port": "amqp"}
    assert spec["readinessProbe"]["tcpSocket"] == {"port": "amqp"}
    assert accepts(rabbitmq.port)
    with rabbitmq.connect() as connection:
        arguments = {"x-queue-type": "quorum"}
        connection.channel().queue_declare(
            "q", durable=True, auto_delete=False, arguments=arguments
        )
    clients_leave(rabbitmq, env)
    # A lone node waits for no other node, and then serves no more clients.
    assert run(spec["lifecycle"]["preStop"], env, rabbitmq.folder, within=120) == 0
    assert not accepts(rabbitmq.port)
    assert run(spec["livenessProbe"], env, rabbitmq.folder) == 0
    rabbitmq.pause()
    liveness = spec["livenessProbe"]
    assert run(liveness, env, rabbitmq.folder, within=10) != 0, "a node that hangs"
    rabbitmq.resume()
    # Other tests go on with it.
    revive = ["rabbitmq-upgrade", "revive"]
    subprocess.run(revive, env=env, cwd=rabbitmq.folder, check=True)
    wait_for(rabbitmq.ready, "it serves clients again")


def clients_leave(rabbitmq: RabbitMQ, env: Mapping[str, str]) -> None:
    """The node closes its port, and waits for the end of open connections."""
    with rabbitmq.connect() as connection:
        leave = threading.Thread(
            target=subprocess.run,
            args=(["leave.sh", str(rabbitmq.port)],),
            kwargs={"env": env, "cwd": rabbitmq.folder, "check": True},
        )
        leave.start()
        wait_for(lambda: not accepts(rabbitmq.port), "it closes its port")
        connection.channel().queue_declare("q", passive=True)
        leave.join(0.5)
        assert leave.is_alive()
    leave.join(4)
    assert not leave.is_alive()


def test_redis(state: State, tmp_path: Path) -> None:
    binary = find_binary()
    if binary is None:
        pytest.skip("there is no Redis")
    port = str(free_port())
    configuration, password = tmp_path / "redis.conf", tmp_path / "password"
    configuration.write_text("requirepass of-your-own")
    password.write_text("of-your-own")
    # redis-cli reads no variable for its port.
    client = tmp_path / "redis-cli"
    found = binary.with_name("redis-cli")
    client.write_text(f"#!/bin/sh\nexec '{found}' -p {port} \"$@\"\n")
    client.chmod(0o755)
    env = {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    env["REDIS_PASSWORD_FILE"] = str(password)
    spec = container("deploy/redis/redis.yaml")
    replaced = {
        "redis-server": str(binary),
        "/run/secrets/redis.conf": str(configuration),
        "/data": str(tmp_path),
    }
    arguments = [replaced.get(word, word) for word in spec["args"]]
    server = Child("probed-redis", state)
    assert run(spec["readinessProbe"], env, tmp_path) != 0
    try:
        server.start([*arguments, "--port", port], cwd=tmp_path, env=env)
        wait_for(lambda: run(spec["startupProbe"], env, tmp_path) == 0, "it starts")
        assert run(spec["readinessProbe"], env, tmp_path) == 0
        assert run(spec["livenessProbe"], env, tmp_path) == 0
        password.write_text("another")
        assert run(spec["readinessProbe"], env, tmp_path) != 0
        assert run(spec["livenessProbe"], env, tmp_path) == 0
        server.pause()
        assert run(spec["livenessProbe"], env, tmp_path, within=1) is None
    finally:
        server.kill()


def test_postgres(postgres: PostgreSQL, tmp_path: Path) -> None:
    if shutil.which("pg_isready") is None or shutil.which("psql") is None:
        pytest.skip("postgresql-client is missing")
    spec = container("deploy/postgres/postgres.yaml")
    env = {**os.environ, "PGPORT": str(postgres.port)}
    for name in ("startupProbe", "readinessProbe", "livenessProbe"):
        assert run(spec[name], env, tmp_path) == 0
    # In the container it connects through the socket, without a password.
    hook = {**env, "PGHOST": "127.0.0.1", "PGPASSWORD": "fastapi"}
    assert run(spec["lifecycle"]["preStop"], hook, tmp_path) == 0
    nobody = {**env, "PGPORT": str(free_port())}
    assert run(spec["readinessProbe"], nobody, tmp_path) != 0
    assert run(spec["livenessProbe"], nobody, tmp_path) != 0
