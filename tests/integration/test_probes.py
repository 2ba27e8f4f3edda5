"""The probes of the Kubernetes manifests, run on their processes."""

import os
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from local import apps
from local.apps import ROOT, App
from local.ports import free_port
from local.servers.nginx import Nginx
from local.servers.postgres import PostgreSQL
from local.servers.rabbitmq import RabbitMQ
from local.servers.redis import KeysRedis, Redis
from local.stack import Servers, migrate
from local.state import State
from tests.e2e.client import wait_for
from tests.relay import Relay

STALE = 31  # seconds: the probes allow 30

SERVICE = """
from chassis.service import serve

class EchoService:
    def call(self, data):
        return data, "echo"

serve(EchoService)
"""


def container(file: str) -> dict[str, Any]:
    """The container of the Deployment in a file of manifests."""
    for each in yaml.safe_load_all((ROOT / file).read_text()):
        if each["kind"] == "Deployment":
            found: dict[str, Any] = each["spec"]["template"]["spec"]["containers"][0]
            return found
    raise AssertionError(f"no Deployment in {file}")


@dataclass
class Probed:
    """A process, and the probes of its container."""

    app: App
    file: str
    env: dict[str, str]
    heartbeat: Path

    def passes(self, name: str) -> bool:
        """Whether the kubelet would see success: the command ends with 0 in time."""
        probe = container(self.file)[f"{name}Probe"]
        command = [
            word.replace("/tmp/heartbeat", str(self.heartbeat))
            for word in probe["exec"]["command"]
        ]
        result = subprocess.run(
            command, env={**os.environ, **self.env}, timeout=probe["timeoutSeconds"]
        )
        return result.returncode == 0

    def said(self, words: str) -> int:
        """How often the log contains the words."""
        return self.app.child.log.read_text().count(words)

    def grow_old(self) -> None:
        """Make the file look older than the probes allow."""
        old = time.time() - STALE
        os.utime(self.heartbeat, (old, old))


Start = Callable[[str, Relay], Probed]


@pytest.fixture
def env(
    rabbitmq: RabbitMQ,
    redis_server: Redis,
    redis_keys: KeysRedis,
    postgres: PostgreSQL,
    vhost: str,
    database_url: str,
) -> dict[str, str]:
    servers = Servers(postgres, redis_server, redis_keys, rabbitmq)
    variables = servers.environment(vhost=vhost)
    asynchronous = database_url.replace("+psycopg2", "+asyncpg")
    own = {"DATABASE_URL": database_url, "ASYNC_DATABASE_URL": asynchronous}
    return {**variables, **own}


@pytest.fixture
def start(state: State, env: dict[str, str], tmp_path: Path) -> Iterator[Start]:
    """Starts a process whose broker is behind a relay."""
    with ExitStack() as running:

        def start(name: str, relay: Relay) -> Probed:
            port, heartbeat = str(relay.port), tmp_path / "heartbeat"
            if name == "service":
                own = {"RABBITMQ_PORT": port, "HEARTBEAT_FILE": str(heartbeat)}
                (tmp_path / "main.py").write_text(SERVICE)
                # Not `apps.service`: that would wait until it is connected.
                main, own_env = ["main.py"], {**env, **own}
                app = App("probed-service", state, main, cwd=tmp_path, env=own_env)
                file = "deploy/components/service/deployment.yaml"
            elif name == "event-relay":
                own = {
                    "RABBITMQ_PORT": port,
                    "EVENTS_RELAY_HEARTBEAT_FILE": str(heartbeat),
                }
                migrate({**env, "MIGRATIONS_DATABASE_URL": env["DATABASE_URL"]})
                app = apps.event_relay("probed-relay", state, {**env, **own})
                file = "backend/backend-relay-pod.yaml"
            else:
                url = f"redis://127.0.0.1:{port}/0"
                own = {
                    "CELERY_BROKER_URL": url,
                    "CELERY_HEARTBEAT_FILE": str(heartbeat),
                }
                make = _worker if name == "worker" else apps.beat
                app = make(state, {**env, **own})
                kind = "celery" if name == "worker" else "beat"
                file = f"backend/backend-{kind}-pod.yaml"
            # pytest shows it together with a failure.
            running.callback(lambda: print(app.child.log.read_text()))
            running.callback(app.kill)
            app.child.log.unlink(missing_ok=True)  # another test's
            app.start()
            return Probed(app, file, {**own, "REDIS_PORT": port}, heartbeat)

        yield start


def _worker(state: State, env: dict[str, str]) -> App:
    return apps.worker(state, env, lambda: True)


def target(name: str, rabbitmq: RabbitMQ, redis_server: Redis) -> int:
    return redis_server.port if name == "worker" else rabbitmq.port


@pytest.mark.parametrize("name", ["service", "event-relay", "worker"])
def test_probes_tell_starting_ready_hung_alive_and_alone(
    name: str, start: Start, rabbitmq: RabbitMQ, redis_server: Redis
) -> None:
    with Relay(target(name, rabbitmq, redis_server)) as relay:
        probed = start(name, relay)
        assert not probed.heartbeat.exists() or probed.passes("startup")
        wait_for(lambda: probed.passes("startup"), "it has started")
        wait_for(lambda: probed.passes("readiness"), "it has its connection")
        assert probed.passes("liveness")

        probed.app.pause()
        probed.grow_old()
        assert not probed.passes("liveness"), "a process that hangs is found"
        probed.app.resume()
        wait_for(lambda: probed.passes("liveness"), "it lives again")

        relay.close()
        wait_for(lambda: not probed.passes("readiness"), "the loss is seen")
        if name != "worker":
            probed.grow_old()
            wait_for(lambda: probed.passes("liveness"), "it goes on touching its file")
            relay.open()
            wait_for(lambda: probed.passes("readiness"), "it has connected again")


# "Lost", or "No connection to": the probe may pass just before the worker notes it.
LOST = "Redis, which hands out tasks: "


def test_a_worker_finds_redis_again_soon(start: Start, redis_server: Redis) -> None:
    with Relay(redis_server.port) as relay:
        probed = start("worker", relay)
        wait_for(lambda: probed.passes("readiness"), "it has its connection")
        # Until then, Celery itself tries again for 5 s, and logs nothing.
        wait_for(lambda: probed.said(" ready.") == 1, "it takes tasks")
        relay.refuse()
        wait_for(lambda: relay.refused >= 6, "several attempts")
        assert not probed.passes("readiness")
        relay.close()
        relay.open()
        wait_for(lambda: probed.passes("readiness"), "it has connected", within=5)
    assert probed.said(LOST) == 1


def test_probes_of_beat(start: Start, redis_server: Redis) -> None:
    with Relay(redis_server.port) as relay:
        probed = start("beat", relay)
        wait_for(lambda: probed.passes("startup"), "it has started")
        wait_for(lambda: probed.passes("readiness"), "it ticks")
        probed.app.pause()
        probed.grow_old()
        assert not probed.passes("liveness") and not probed.passes("readiness")
        probed.app.resume()
        wait_for(lambda: probed.passes("liveness"), "it lives again")

        wait_for(lambda: probed.said("Sending due task sweep") > 0, "its work")
        relay.close()
        wait_for(
            lambda: probed.said("Lost Redis, which takes what beat sends") == 1,
            "its line",
        )
    assert not probed.said("Traceback")


def test_probes_of_the_api(
    state: State, env: dict[str, str], rabbitmq: RabbitMQ
) -> None:
    with Relay(rabbitmq.port) as relay:
        own = {**env, "RABBITMQ_PORT": str(relay.port)}
        api = apps.api("probed-api", state, own, free_port())
        try:
            api.start()
            assert status(api.port, "liveness") == status(api.port, "readiness") == 200
            relay.close()
            wait_for(lambda: status(api.port, "readiness") == 503, "the loss is seen")
            assert status(api.port, "liveness") == status(api.port, "startup") == 200
            relay.open()
            wait_for(lambda: status(api.port, "readiness") == 200, "it is back")
            api.pause()
            assert status(api.port, "liveness") is None, "a loop that hangs is found"
        finally:
            api.kill()


def status(port: int, name: str) -> int | None:
    """The status of the probe's answer; None if none comes in time."""
    probe = container("backend/backend-pod.yaml")[f"{name}Probe"]
    url = f"http://127.0.0.1:{port}{probe['httpGet']['path']}"
    try:
        with urllib.request.urlopen(url, timeout=probe["timeoutSeconds"]) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return None


def test_probes_of_nginx(state: State, tmp_path: Path) -> None:
    """This also tests that nginx accepts the cluster's addition to its
    configuration."""
    probes = free_port()
    added = (ROOT / "deploy/nginx/cluster.conf.template").read_text()
    env = {**os.environ, "NGINX_TRUSTED_PROXIES": "192.0.2.7,fd00::/8"}
    script = str(ROOT / "deploy/nginx/trusted.sh")
    trusted = subprocess.check_output([script], env=env, text=True)
    for name, value in (
        ("listen ${NGINX_PROBES_PORT};", f"listen 127.0.0.1:{probes};"),
        ("${NGINX_TRUSTED}", trusted),
    ):
        assert name in added and value
        added = added.replace(name, value)
    template = tmp_path / "template"
    template.write_text((ROOT / "nginx_config.conf").read_text() + added)
    nginx = Nginx(state, free_port(), [free_port()], template)
    nginx.name = "probed-nginx"
    try:
        nginx.start()
        file = "deploy/nginx/nginx-pod.yaml"
        path = container(file)["readinessProbe"]["httpGet"]["path"]
        # The API is not there, but nginx answers.
        assert apps.answers(f"http://127.0.0.1:{probes}{path}")
        assert apps.answers(f"{nginx.url}/", 502)
        assert apps.answers(f"http://127.0.0.1:{probes}/", 404)
    finally:
        nginx.kill()
