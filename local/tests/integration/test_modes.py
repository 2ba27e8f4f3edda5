"""Two systems at once, in folders with characters that shells and files expand.

One is under an editor's debugger. It is killed, and started again with a RabbitMQ of
the user's and an issuer of its own. The other reloads, on a machine without RabbitMQ
and nginx.

Starting one takes long, so the tests share them, and run in order.
"""

import json
import os
import re
import signal
import threading
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from local import ports, status
from local.apps import BACKEND, answers, service_folders
from local.ports import free_port
from local.registry import registered
from local.servers.rabbitmq import RabbitMQ
from local.stack import Servers
from local.state import State, leftovers
from local.tests.integration.conftest import launchers
from local.tests.integration.debugger import Debugger
from local.tests.integration.launcher import POOR_MACHINE, Launcher
from local.tests.integration.token_checks import (
    assert_no_tokens,
    assert_tokens_work,
)
from local.tests.troubleshooting import explanation

DATA = "/api/v1/data/process"

pytestmark = pytest.mark.timeout(300)  # each starts a whole stack


class Client(threading.Thread):
    """Sends a request, which a debugger may hold up."""

    def __init__(self, url: str, payload: Any = None) -> None:
        super().__init__(daemon=True)
        body = None if payload is None else json.dumps({"payload": payload}).encode()
        headers = {"Content-Type": "application/json"}
        self._request = urllib.request.Request(url, data=body, headers=headers)
        self.answer: Any = None
        self.start()

    def run(self) -> None:
        with urllib.request.urlopen(self._request, timeout=60) as answer:
            self.answer = json.load(answer)

    def finish(self) -> Any:
        """Wait for the answer and return it."""
        self.join(60)
        assert not self.is_alive()
        return self.answer


class Systems(NamedTuple):
    """Of two clones, which are two folders."""

    debug: Launcher
    plain: Launcher  # in the folder of `debug`, for later
    dev: Launcher
    settings: Path  # of `dev`


@pytest.fixture(scope="module")
def systems(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Systems]:
    """Both are up; the last test ends them."""
    folder = tmp_path_factory.mktemp("systems") / "a $HOME 'of' \"mine\" %d é"
    folder.mkdir()
    settings = folder / "settings.env"
    settings.write_text("ENVIRONMENT=production\n")
    with launchers(folder) as make:
        debug = make("debug", "debug")
        dev = make("dev", "reload", ENV_FILE=str(settings))
        debug.start()
        dev.start(POOR_MACHINE)
        for each in (debug, dev):
            each.url()
        yield Systems(debug, Launcher(debug.folder, "auth"), dev, settings)


def test_two_systems_share_no_port(systems: Systems, tmp_path: Path) -> None:
    debug, dev = (
        set(re.findall(r" up .* (\d{4,5})  ", each.output.read_text()))
        for each in (systems.debug, systems.dev)
    )
    assert debug and dev and not debug & dev
    third = Servers.create(State(tmp_path / "third"), print)
    assert all(ports.is_free(server.port) for server in third.own)


def test_without_rabbitmq_and_nginx(systems: Systems) -> None:
    output, url = systems.dev.output.read_text(), systems.dev.url()
    assert "RPC goes over Redis" in output
    before, _, after = output.partition("nginx is not")
    assert "install it" in explanation(before)
    assert "port 8000" in explanation(f"nginx is not{after}")
    assert answers(f"{url}/health/ready")
    if "data" in registered():
        client = Client(url + DATA, "hello")
        assert client.finish()["task_status"] == "Success"


def test_a_debugger_attaches_to_every_process(systems: Systems) -> None:
    url = systems.debug.url()
    table = systems.debug.output.read_text()
    ports = dict(re.findall(r"^  (\w+) .*debugger: port (\d+)$", table, re.MULTILINE))
    assert {"api", "worker"} <= set(ports) and "beat" not in ports

    stop_in_api(int(ports["api"]), url)
    if "data" in registered():
        stop_in_service(int(ports["dataservice"]), url)
        stop_in_worker(int(ports["worker"]), url)


def test_saved_settings_are_taken_over(systems: Systems) -> None:
    launcher = systems.dev
    page = f"{launcher.url()}/api/v1/docs"
    assert "ENVIRONMENT=production is ignored" in launcher.output.read_text()
    assert answers(page)
    launcher.wait_for("(reloads on save)")
    # A provider of the user's; it need not answer to be asked for.
    issuer = f"http://127.0.0.1:{free_port()}"
    systems.settings.write_text(
        f"DOCS_ENABLED=false\nAUTH_ISSUER={issuer}\nAUTH_AUDIENCE=kit\n"
    )
    launcher.wait_for("(api runs the changed code)")
    assert answers(f"{launcher.url()}/api/v1/metrics", 401)
    assert answers(page, 404)


def test_a_second_launcher_leaves_the_first_alone(systems: Systems) -> None:
    second = Launcher(systems.debug.folder)
    second.output = second.folder.with_suffix(".second")
    second.start()
    assert second.process.wait(10) == 1
    assert "stop that one" in explanation(second.output.read_text())
    assert answers(systems.debug.url() + "/health/ready")


@pytest.fixture
def shop(rabbitmq: RabbitMQ) -> Iterator[str]:
    """A virtual host with a slash."""
    vhost = rabbitmq.create_vhost("shop/of mine")
    yield vhost
    rabbitmq.delete_vhost(vhost)


def test_from_start_to_end_through_kills(
    systems: Systems, capsys: pytest.CaptureFixture[str], rabbitmq: RabbitMQ, shop: str
) -> None:
    """With the URL of a RabbitMQ, whose first node is down."""

    def ask() -> tuple[int, str]:
        code = status.show([], launcher.folder)
        said = capsys.readouterr()
        return code, said.out + said.err

    systems.debug.end(signal.SIGKILL)
    launcher = systems.plain
    login = f"{rabbitmq.user}:{rabbitmq.password}"
    launcher.env = {
        "RPC_BROKER_URL": (
            f"amqp://{login}@127.0.0.1:1,{rabbitmq.endpoint}/shop%2Fof%20mine"
        ),
        "RABBITMQ_MANAGEMENT_URL": rabbitmq.management_url,
    }
    launcher.start()
    assert answers(launcher.url() + "/health/ready")
    said = launcher.output.read_text()
    assert f"using the RabbitMQ at {rabbitmq.endpoint}" in said
    assert "rabbitmq-server" not in said and "Traceback" not in said
    for queue in registered().values():
        assert rabbitmq.consumers(queue, shop) == 1
    assert_tokens_work(launcher, capsys)
    code, table = ask()
    lines = launcher.output.read_text().splitlines()
    assert code == 0
    # The same output as that of `make run`.
    assert [line for line in table.splitlines() if " up " in line] == [
        line for line in lines if " up  " in line
    ]
    assert re.search(rf"^  nginx .* up  .* {launcher.url()}$", table, re.MULTILINE)
    assert re.search(r"^  postgres .* up  .* \d+\.\d+ ", table, re.MULTILINE)

    for name in ("redis", "beat"):
        os.kill(launcher.named(name), signal.SIGKILL)
        launcher.wait_for(rf"({name} is back)")
    os.kill(launcher.named("worker"), signal.SIGSTOP)
    code, table = ask()
    assert code == 1
    assert re.search(r"^  worker +stopped", table, re.MULTILINE)
    os.kill(launcher.named("api"), signal.SIGKILL)
    assert launcher.end(signal.SIGINT) == 0
    assert "stopping nginx, " in launcher.output.read_text()
    assert leftovers(launcher.folder) == []
    assert ask() == (1, f"{status.NOT_RUNNING}\n")
    assert_no_tokens(launcher, capsys)


def test_a_second_signal_kills_the_other_one(systems: Systems) -> None:
    dev = systems.dev
    assert answers(dev.url() + "/health/ready")
    dev.process.send_signal(signal.SIGINT)
    dev.wait_for("(stopping)")
    assert dev.end(signal.SIGINT) == 130  # an orderly stop ends with 0
    assert leftovers(dev.folder) == []


def stop_in_api(port: int, url: str) -> None:
    debugger = Debugger(port)
    debugger.break_at(BACKEND / "app/api/root.py", "shown = resources.settings")
    client = Client(url)
    function, thread = debugger.wait_stopped()
    assert function == "read_root" and client.is_alive()
    debugger.go_on(thread)
    assert client.finish()["health"] == "/health"


def stop_in_service(port: int, url: str) -> None:
    debugger = Debugger(port)
    folders = {folder.name: folder for folder in service_folders()}
    file = folders["dataservice"] / "app/data_service.py"
    debugger.break_at(file, "self._parse(data)")
    client = Client(url + DATA, "hello")
    function, thread = debugger.wait_stopped()
    assert function.endswith("call") and "hello" in debugger.evaluate("data")
    debugger.go_on(thread)
    assert client.finish()["task_status"] == "Success"


def stop_in_worker(port: int, url: str) -> None:
    debugger = Debugger(port)
    debugger.break_at(BACKEND / "app/tasks/data.py", "content = json.loads(request)")
    accepted = Client(f"{url}{DATA}-async", "later").finish()
    function, thread = debugger.wait_stopped()
    assert function == "process_accepted"
    assert accepted["task_id"] in debugger.evaluate("task_id")
    debugger.go_on(thread)
    status = Client(f"{url}{DATA}-async/{accepted['task_id']}?wait=30")
    assert status.finish()["task_status"] == "Success"
